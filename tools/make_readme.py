"""Write README.md from nbs/index.ipynb: its prose, its visible code, and what that printed.

    python tools/make_readme.py             write it
    python tools/make_readme.py --check     exit code 1 if it differs from what would be written
"""
import json, re, sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def printed(cell):
    "What a cell printed or returned, as text."
    parts = [o.get('text') or o.get('data', {}).get('text/plain', '') for o in cell['outputs'] if o.get('name') != 'stderr']
    return ''.join(''.join(p) for p in parts).rstrip()


def as_markdown(cell):
    "A cell for README.md; nothing for a hidden one."
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown': return re.sub(r'\]\((?!https?://|#)', '](nbs/', source)
    if source.startswith('#| hide'): return ''
    shown = re.sub(r'^#\| .*\n', '', source, flags=re.M)
    code = '' if source.startswith('#| echo: false') else f'```python\n{shown}\n```'
    out = '' if source.startswith('#| output: false') else printed(cell)
    return '\n\n'.join(filter(None, [code, f'```text\n{out}\n```' if out else '']))


def readme(notebook):
    "The text of README.md."
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    head = '<!-- Written from nbs/index.ipynb by tools/make_readme.py: edit the notebook. -->'
    return '\n\n'.join([head, *filter(None, map(as_markdown, cells))]) + '\n'


if __name__ == '__main__':
    path, text = ROOT/'README.md', readme(ROOT/'nbs/index.ipynb')
    if '--check' not in sys.argv: path.write_text(text, encoding='utf-8')
    elif not path.exists() or path.read_text(encoding='utf-8') != text: sys.exit('README.md is not what nbs/index.ipynb says: run python tools/make_readme.py')
