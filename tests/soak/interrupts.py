"Runs that are interrupted by their user."
import shutil, signal, time
from .child import Child, one_clear_line
from .runs import a_run, undisturbed, half_written


def interrupts(n, rng, work):
    "Ctrl-C: ends within ten seconds, one line says what is kept and how to go on; then it does go on."
    scores, seconds = undisturbed(work)
    for i in range(n):
        out = work/f'interrupts{i}'
        child = Child(a_run(out), work/'interrupts-log')
        time.sleep(rng.uniform(.1, .9)*seconds)
        began = time.time()
        child.kill(signal.SIGINT)
        code, took = child.wait(60), time.time() - began
        if code == 0 and (out/'report.html').exists(): lost = None # it had ended
        elif code is None or took > 10: lost = f'took {took:.0f} s'
        else: lost = one_clear_line(child, 'stopped', 'kept', '--resume') or half_written(out)
        if i % 3 == 2 and not lost:
            child = Child(a_run(out, resume=True), work/'interrupts-log')
            lost = None if child.wait() == 0 and (out/'scores.csv').read_bytes() == scores else f'did not go on to the same scores: {child.complained()[-200:]}'
        shutil.rmtree(out, ignore_errors=True)
        yield 'plantnb_run, ctrl-c', lost
