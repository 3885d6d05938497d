"""Print the command that README.md gives, so that what is tested is what a reader copies.

    python tools/readme_command.py nbdev_test       (the one fenced block that holds this word)
"""
import re, sys
from pathlib import Path

FENCE = re.compile(r'^(`{3,}|~{3,})[^\n]*\n(.*?)^\1[ \t]*$', re.M | re.S)


def command(readme, word):
    "The one fenced block with `word` in it; raises `SystemExit` when there is none or more than one."
    blocks = [body.strip() for _, body in FENCE.findall(readme) if word in body]
    if len(blocks) != 1: raise SystemExit(f"README.md: {len(blocks)} fenced blocks hold '{word}', there should be one: the command to run")
    return '\n'.join(line.removeprefix('$ ') for line in blocks[0].splitlines())


if __name__ == '__main__': print(command((Path(__file__).parents[1]/'README.md').read_text(encoding='utf-8'), sys.argv[1]))
