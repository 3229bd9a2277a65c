"""A script's main() in a copy of the process that tests: reading matplotlib in takes a second each time."""
import os
import signal
import subprocess
import sys
import tempfile
import traceback


def forked(main, arguments, cwd):
    """What subprocess.run gives of a script that ends with sys.exit(main()), run in a copy of this process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(60)
                os.chdir(cwd)
                for number, (name, file) in enumerate((("stdout", out), ("stderr", errors)), 1):
                    os.dup2(file.fileno(), number)
                    setattr(sys, name, open(number, "w", closefd=False))
                code = main([os.fsdecode(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape"))
    return subprocess.CompletedProcess(arguments, code, *texts)
