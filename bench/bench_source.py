#!/usr/bin/env python3
"""What reading a container costs, beside other programs that read and hash the same bytes.

usage: bench_source.py BENCH_SOURCE [SCRATCH_FOLDER]

Prints "name value unit low high n": medians with the extremes of n runs; '-' where there is no range. Rates are CPU
time of one process from the page cache. The tar of 6 GB is made as a stream and never stored.
"""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
RUNS = 5
SIZE = 1_000_000_000


def line(name, values, unit):
    low, high = (f"{min(values):.4g}", f"{max(values):.4g}") if len(values) > 1 else ("-", "-")
    print(f"{name} {statistics.median(values):.4g} {unit} {low} {high} {len(values)}", flush=True)


def read(target, stdin=None):
    done = subprocess.run([PROGRAM, "read", target], stdin=stdin, check=True, stdout=subprocess.PIPE)
    size, seconds, rss, entries, gaps = done.stdout.split()
    if int(gaps) > 0:
        sys.exit(f"{target}: {int(gaps)} gaps")
    return int(size), float(seconds), int(rss) / 1000, int(entries)


def generate(size, files, **options):
    return subprocess.Popen([PROGRAM, "generate", str(size), str(files)], **options)


def from_stream(size, files):
    maker = generate(size, files, stdout=subprocess.PIPE)
    result = read("tar:-", stdin=maker.stdout)
    maker.stdout.close()
    if maker.wait() != 0:
        sys.exit("the generator failed")
    return result


def cpu_of(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


PYTHON = """
import hashlib, tarfile
archive = tarfile.open({0!r})
for member in archive:
    if member.isfile():
        file, digest = archive.extractfile(member), hashlib.sha256()
        while block := file.read(1 << 18):
            digest.update(block)
"""


def alternatives(tar):
    yield "bsdtar_sha256sum", f"bsdtar -xOf {tar} | sha256sum", ("bsdtar", "sha256sum")
    yield "bsdtar_openssl", f"bsdtar -xOf {tar} | openssl dgst -sha256", ("bsdtar", "openssl")
    yield "tar_each_sha256sum", f"tar -xf {tar} --to-command=sha256sum", ("tar", "sha256sum")
    yield "python_tarfile", f"{sys.executable} - <<'END'\n{PYTHON.format(tar)}\nEND", ()


def main():
    scratch = sys.argv[2] if len(sys.argv) > 2 else tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="km-bench-", dir=scratch) as folder:
        tar = f"{folder}/sample.tar"
        with open(tar, "wb") as out:
            if generate(SIZE, 2000, stdout=out).wait() != 0:
                sys.exit("the generator failed")
        read(tar)  # into the page cache
        mine = [SIZE / 1e6 / read(tar)[1] for _ in range(RUNS)]
        line("source.mbps", mine, "MB/s")
        for name, command, tools in alternatives(tar):
            missing = [tool for tool in tools if not shutil.which(tool)]
            if missing:
                print(f"# {name}: {missing[0]} is not installed", flush=True)
                continue
            theirs = [SIZE / 1e6 / cpu_of(command) for _ in range(3)]
            line(f"source.mbps.{name}", theirs, "MB/s")
            line(f"source.speedup.{name}", [statistics.median(mine) / statistics.median(theirs)], "ratio")
    line("source.rss_100mb_mb", [from_stream(100_000_000, 1000)[2] for _ in range(3)], "MB")
    line("source.rss_mb", [from_stream(6_000_000_000, 20000)[2]], "MB")
    size, seconds, rss, entries = from_stream(0, 1_000_000)
    if entries != 1_000_000:
        sys.exit(f"{entries} entries instead of a million")
    line("source.million_rss_mb", [rss], "MB")
    line("source.million_cpu_s", [seconds], "s")


main()
