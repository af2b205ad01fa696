"""Run by a client's own Python: imports the modules that it is told, then does each job from stdin in a copy of itself.

A job is a line of JSON with a script, its environment and its stdin; the answer is a line with exit code and both outputs.
"""

import importlib
import io
import json
import os
import runpy
import sys
import tempfile
import traceback


def become(asked, out, error):
    """Runs the script as its Python would."""
    os.dup2(out.fileno(), 1)
    os.dup2(error.fileno(), 2)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdin = io.StringIO(asked["given"])
    sys.argv = [asked["script"]]
    code = 0
    try:
        runpy.run_path(asked["script"], run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            process = os.fork()
            if process == 0:
                become(json.loads(line), out, error)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            said = {}
            for name, file in (("out", out), ("error", error)):
                file.seek(0)
                said[name] = file.read().decode()
        print(json.dumps({"code": code, **said}), flush=True)


main()
