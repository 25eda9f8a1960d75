"""What the checks share: findings, the program's own word on settings, and waiting for servers."""

import os
import pathlib
import re
import subprocess
import sys

INFRA = pathlib.Path(__file__).resolve().parent.parent
TREE = INFRA.parent


class Findings:
    """Collects what is wrong; `end` says it, and fails."""

    def __init__(self):
        self.found, self.looked = [], 0

    def expect(self, holds, text):
        self.looked += 1
        if not holds:
            self.found.append(text)

    def equal(self, found, expected, text):
        self.expect(found == expected, f"{text}: expected {expected!r}, found {found!r}")

    def end(self):
        for one in self.found:
            print(one)
        # A check that looked at nothing found nothing.
        if not self.looked:
            sys.exit("nothing was looked at")
        if self.found:
            sys.exit(1)
        print(f"{self.looked} things hold")


def documented_exit_codes():
    """The exit codes that docs/operators.md lists."""
    return {int(code) for code in re.findall(r"^\| (\d+) \| ", (TREE / "docs/operators.md").read_text(), re.MULTILINE)}


def run(program, *arguments, environment=()):
    """Ends with (exit code, what it said); in no environment but the given one."""
    done = subprocess.run(
        [program, *arguments], env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def knows_command(program, arguments):
    """Whether this build of the program has the command at all."""
    return run(program, arguments[0], "--help")[0] == 0


def check_command_line(findings, program, arguments, where):
    """Asks the program itself whether it takes these arguments: `--help` comes last, so all others are read before."""
    code, said = run(program, *arguments, "--help")
    findings.expect(code == 0, f"{where}: cxvault {' '.join(arguments)}: {said.strip()}")


def check_settings(findings, program, environment, where):
    """Asks the program itself whether it takes these settings. It refuses names and values that it does not know."""
    code, said = run(program, "config", environment=environment)
    findings.expect(code == 0, f"{where}: {said.strip()}")


def with_secrets(folder):
    """A folder with a made-up file for each secret."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ["client-secret", "jwt"]:
        (folder / name).write_text("made-up\n")
    return folder


def signing_key(program, folder):
    key = pathlib.Path(folder) / "signing-key"
    if not key.exists():
        code, said = run(program, "keygen", str(key))
        assert code == 0, said
        os.chmod(key, 0o644)
    return key
