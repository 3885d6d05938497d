"Work in a process of its own, which can be stopped, and what it said."
import io, os, signal, sys, time, traceback
from pathlib import Path


class Child:
    "`f()` in a forked process with its own group; what it says goes to two files, what it returns is its exit code."
    def __init__(self, f, log, uid=None):
        self.out, self.err, self.began = Path(f'{log}.out'), Path(f'{log}.err'), time.time()
        self.pid = os.fork()
        if self.pid == 0: self._work(f, uid)
        try: os.setpgid(self.pid, self.pid)
        except (PermissionError, ProcessLookupError): pass # it was quicker
        self.code = None
    def _work(self, f, uid):
        code = 70
        try:
            os.setpgid(0, 0)
            for file, fd in ((self.out, 1), (self.err, 2)): os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666), fd)
            sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(fd, 'wb', closefd=False), write_through=True) for fd in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if uid: os.setgroups([]); os.setgid(uid); os.setuid(uid)
            code = f() or 0
            if not isinstance(code, int): code = 0
        except BaseException: traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr): stream.flush()
            os._exit(code)
    def poll(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid: self.code = os.waitstatus_to_exitcode(status)
        return self.code
    def wait(self, seconds=600):
        "The exit code; None, and it is killed, when it takes longer."
        end = time.time() + seconds
        while self.poll() is None and time.time() < end: time.sleep(.01)
        if self.code is None: self.kill(); return None
        return self.code
    def kill(self, sig=signal.SIGKILL):
        try: os.killpg(self.pid, sig)
        except ProcessLookupError: pass # it had ended
        if sig == signal.SIGKILL:
            try: os.waitpid(self.pid, 0)
            except ChildProcessError: pass # and was waited for
            self.code = -9 if self.code is None else self.code
    def said(self): return self.out.read_text(errors='replace')
    def complained(self): return self.err.read_text(errors='replace')


def one_clear_line(child, *words):
    "What is wrong with how a command failed, or None: exit code 1 and one line on stderr that holds `words`."
    err = child.complained()
    if child.code != 1: return f'exit code {child.code}: {err[-300:]}'
    if err.count('\n') != 1: return f'{err.count(chr(10))} lines: {err[-300:]}'
    return next((f'does not say {w!r}: {err}' for w in words if w not in err), None)


def warm():
    "Import what children need, and set one thread."
    import torch
    from plantnb import cli, evaluation, generalise, predict, run, siamese, twin_resnet # noqa: F401
    import matplotlib; matplotlib.use('agg')
    import imagehash, joblib, scipy.cluster.hierarchy, sklearn.linear_model # noqa: F401
    torch.set_num_threads(1)
