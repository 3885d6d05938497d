"""The page *In a browser* asked by a program, through Playwright: for tests/test_try.py and experiments/browser.py. Its policy forbids `eval`, which
`wait_for_function` needs, so what is waited for is an element."""
import base64, io
import pandas as pd

LOAD, LOOK = 120_000, 300_000 # milliseconds


def ready(page, base):
    "Opens the page and waits until the network can be asked; raises AssertionError with what the page says where it cannot."
    page.goto(f'{base}try.html')
    page.locator('body[data-try=ready], #try-status.broken').wait_for(timeout=LOAD)
    said = page.locator('#try-status').inner_text()
    assert said == 'Ready.', said


def look(page, files, maps=True):
    "Gives photographs to the page, paths or dicts of name, mimeType and buffer, and waits for all answers, and for where it looked."
    page.set_input_files('#try-files', [f if isinstance(f, dict) else str(f) for f in files])
    page.locator('body[data-try-done]' if maps else 'body[data-try-said]').wait_for(timeout=LOOK)


def table(page):
    "What is saved as CSV: filename, score, decision, error; files that were not looked at come last."
    with page.expect_download() as caught: page.click('#try-csv')
    return pd.read_csv(caught.value.path(), keep_default_na=False, na_values={'score': ['']})


def overlays(page):
    "Where the network looked, a picture a leaf."
    from PIL import Image
    said = page.eval_on_selector_all('.try-pictures canvas:last-child', 'all => all.map(c => c.toDataURL("image/png"))')
    return [Image.open(io.BytesIO(base64.b64decode(s.partition(',')[2]))).convert('RGB') for s in said]
