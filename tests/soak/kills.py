"Runs that are killed."
import shutil, time
from .child import Child
from .runs import a_run, undisturbed, half_written


def kills(n, rng, work):
    "SIGKILL at a random moment, go on, be killed again; every third time the run may end, with the same scores."
    scores, seconds = undisturbed(work)
    for chain in range(-(-n//3)):
        out, lost, here = work/f'kills{chain}', None, min(3, n - 3*chain)
        for k in range(here):
            child = Child(a_run(out, resume=k > 0), work/'kills-log')
            time.sleep(rng.uniform(0, seconds))
            child.kill()
            lost = lost or (out.exists() and half_written(out)) or None
        child = Child(a_run(out, resume=True), work/'kills-log')
        if child.wait() != 0: lost = lost or f'did not go on: {child.complained()[-300:]}'
        elif (out/'scores.csv').read_bytes() != scores: lost = lost or 'other scores'
        elif left := [p.name for p in out.rglob('.*') if not p.name.endswith('.lock')]: lost = lost or f'left behind: {left[:3]}'
        shutil.rmtree(out)
        for k in range(here): yield 'plantnb_run, SIGKILL', lost
