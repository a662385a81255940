#!/usr/bin/env python3
"""Makes the table of call classes from call_classes.txt and the kernel headers' call numbers.

usage: gen_calls.py call_classes.txt COMPILER... > call_table.inc
Rows are {space, folded number, class, name}. A name that no space has is an error: it is misspelt.
"""
import re
import subprocess
import sys

SPACES = [('KM_SPACE_NATIVE', 'asm/unistd_64.h'), ('KM_SPACE_COMPAT', 'asm/unistd_32.h'),
          ('KM_SPACE_X32', 'asm/unistd_x32.h')]


def numbers(compiler, header):
    text = subprocess.run(compiler + ['-E', '-dM', '-include', header, '-x', 'c', '/dev/null'], check=True,
                          capture_output=True, text=True).stdout
    return {m[1]: int(m[2]) for m in re.finditer(r'#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?', text)}


def main():
    tables = [(space, numbers(sys.argv[2:], header)) for space, header in SPACES]
    for line in open(sys.argv[1], encoding='ascii'):
        if line.startswith('#') or not line.strip():
            continue
        name, call_class = line.split()
        found = False
        for space, table in tables:
            if name in table:
                # x32's call numbers are folded by the C side.
                print(f'{{{space}, {table[name]}, KM_PROBE_CALL_{call_class}, "{name}"}},')
                found = True
        if not found and name not in ('fchmodat2',):  # newer than some headers
            sys.exit(f'{sys.argv[1]}: no call named {name}')


main()
