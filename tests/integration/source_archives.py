#!/usr/bin/env python3
"""Archives made by common tools, read by komainu's source module and by Python's tarfile, zipfile and hashlib.

usage: source_archives.py LIST_ENTRIES

Tools that are missing are named and left out; exit 77 when GNU tar is.
"""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

LIST_ENTRIES = os.path.abspath(sys.argv[1])
passed = 0


def check(truth, text):
    global passed
    if not truth:
        sys.exit(f"FAILED: {text}")
    passed += 1


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options).stdout


def have(tool):
    if shutil.which(tool):
        return True
    print(f"SKIP: {tool} is not installed; its archives are left out")
    return False


def komainu(target, *options):
    done = subprocess.run([LIST_ENTRIES, *options, str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, timeout=120)
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    entries = {}
    for line in lines:
        if line["what"] in ("entry", "end"):
            entries.setdefault(line["id"], {}).update(line)
    return {"code": done.returncode, "error": done.stderr.decode(), "entries": [entries[i] for i in sorted(entries)],
            "gaps": [line for line in lines if line["what"] == "gap"],
            "run": [line for line in lines if line["what"] == "run"][0] if done.returncode in (0, 1) and lines else {}}


def files(said, depth=0):
    return {e["path"]: e["sha256"] for e in said["entries"] if e["type"] == 0 and e["depth"] == depth}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_tree(root):
    (root / "a/b").mkdir(parents=True)
    (root / "a/b" / ("long" * 60)).write_text("long name")
    (root / "a/h\xe9").write_text("latin")
    with open(os.fsencode(root) + b"/a/raw\xff\xfe\n\x1b[2J", "w") as raw:
        raw.write("not UTF-8")
    with open(root / "sparse", "wb") as sparse:
        for at in range(0, 40 << 20, 1 << 20):  # more regions than one GNU header holds
            sparse.seek(at)
            sparse.write(b"data at %d" % at)
    (root / "empty").touch()
    (root / "large").write_bytes(bytes(range(256)) * 5000)
    os.link(root / "large", root / "a/hard")
    os.symlink("../large", root / "a/link")


def tree_digests(root):
    found = {}
    for path in sorted(pathlib.Path(os.fsdecode(root)).rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = os.fsencode(str(path.relative_to(root))).decode("latin-1")
            found[name] = digest(path.read_bytes())
    return found


def all_files(said):
    """Files and hard links with the digest of what they name."""
    found = files(said)
    for entry in said["entries"]:
        if entry["type"] == 3 and entry["depth"] == 0:
            link = "/".join(part for part in entry["link"].split("/") if part not in ("", "."))
            found[entry["path"]] = found.get(link)
    return found


def tar_dialects(work):
    wanted = tree_digests(work / "tree")
    for dialect in ("gnu", "oldgnu", "posix"):
        for options in ([], ["--sparse"], ["--sparse", "--sparse-version=0.0"], ["--sparse", "--sparse-version=0.1"]):
            if len(options) == 2 and dialect != "posix":
                continue
            tar = work / "dialect.tar"
            run("tar", f"--format={dialect}", *options, "-C", f"{work}/tree", "-cf", str(tar), ".")
            said = komainu(f"tar:{tar}")
            label = f"GNU tar {dialect} {options}"
            check(said["code"] == 0 and not said["gaps"], f"{label}: {said['gaps']}")
            check(all_files(said) == wanted, label)
    if have("bsdtar"):
        for dialect in ("gnutar", "pax"):
            run("bsdtar", f"--format={dialect}", "-C", f"{work}/tree", "-cf", f"{work}/bsd.tar", ".")
            said = komainu(f"tar:{work}/bsd.tar")
            check(said["code"] == 0 and not said["gaps"], f"bsdtar {dialect}: {said['gaps']}")
            check(all_files(said) == wanted, f"bsdtar {dialect}")
    said = komainu(f"dir:{work}/tree")
    check(said["code"] == 0 and not said["gaps"] and all_files(said) == wanted, "dir")


def compressors(work):
    run("tar", "-C", f"{work}/tree", "-cf", f"{work}/plain.tar", ".")
    plain = komainu(f"{work}/plain.tar")
    for command, ending in ((["gzip", "-k"], "gz"), (["xz", "-k"], "xz"), (["xz", "-k", "-9"], "xz"),
                            (["zstd", "-q"], "zst"), (["zstd", "-q", "--ultra", "-22", "--long=26"], "zst"),
                            (["bzip2", "-k"], "bz2")):
        if not have(command[0]):
            continue
        packed = work / f"plain.tar.{ending}"
        packed.unlink(missing_ok=True)
        run(*command, f"{work}/plain.tar")
        said = komainu(packed)
        check(said["code"] == 0 and not said["gaps"], f"{command}: {said['gaps']}")
        check(files(said) == files(plain), f"{command}")
    if have("zstd"):
        run("zstd", "-q", "-f", "--ultra", "-22", "--long=31", f"{work}/plain.tar")  # beyond the memory for decoders
        with open(work / "big", "wb") as big:
            big.truncate(300 << 20)
        run("zstd", "-q", "-f", "--ultra", "-22", "--long=31", f"{work}/big", "-o", f"{work}/big.zst")
        with tarfile.open(work / "window.tar", "w") as tar:
            tar.add(work / "big.zst", "big.zst")
        said = komainu(f"tar:{work}/window.tar")
        check(said["code"] == 0 and [gap["reason"] for gap in said["gaps"]] == ["limit"], f"window: {said['gaps']}")


def nested(work):
    inner = {"x/one": b"one", "x/two": b"two" * 10000}
    folder = work / "inner"
    for name, data in inner.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    wanted, made = {name: digest(data) for name, data in inner.items()}, []
    if have("zip"):
        run("zip", "-qr", f"{work}/plain.zip", "x", cwd=folder)
        run("sh", "-c", f"zip -qr - x > {work}/streamed.zip", cwd=folder)  # sizes behind the data
        run("zip", "-q0r", f"{work}/stored.zip", "x", cwd=folder)
        run("zip", "-qr", "-P", "secret", f"{work}/locked.zip", "x", cwd=folder)
        made += ["plain.zip", "streamed.zip", "stored.zip"]
    if have("bsdtar"):
        run("bsdtar", "--format=newc", "-cf", f"{work}/made.cpio", "x", cwd=folder)
        made += ["made.cpio"]
    run("tar", "-czf", f"{work}/made.tgz", "x", cwd=folder)
    for name in made + ["made.tgz"]:
        with tarfile.open(work / "outer.tar", "w") as tar:
            tar.add(work / name, name)
        said = komainu(f"tar:{work}/outer.tar")
        check(said["code"] == 0 and not said["gaps"], f"{name}: {said['gaps']}")
        check(files(said, 1) == wanted, f"{name}: {files(said, 1)}")
        check(all(e["parent"] == 0 for e in said["entries"][1:]), f"{name}: parents")
        data = (work / name).read_bytes()
        for length in range(0, len(data), max(1, len(data) // 60)):  # cut anywhere: never a crash, never an end
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as tar:
                info = tarfile.TarInfo(name)
                info.size = length
                tar.addfile(info, io.BytesIO(data[:length]))
                info = tarfile.TarInfo("last")
                tar.addfile(info)
            (work / "cut.tar").write_bytes(archive.getvalue())
            said = komainu(f"tar:{work}/cut.tar")
            check(said["code"] == 0 and said["entries"][-1]["path"] == "last", f"{name} cut to {length}")
            check(said["entries"][0]["complete"], f"{name} cut to {length}: its own bytes are all there")
    if have("zip"):
        with tarfile.open(work / "outer.tar", "w") as tar:
            tar.add(work / "locked.zip", "locked.zip")
        said = komainu(f"tar:{work}/outer.tar")
        check({gap["reason"] for gap in said["gaps"]} == {"encrypted"}, f"locked.zip: {said['gaps']}")
        check(said["run"]["bytes_opaque"] == (work / "locked.zip").stat().st_size, "locked.zip is opaque")
    if have("dpkg-deb"):
        package = work / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text(
            "Package: km-test\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n"
            "Description: test\n")
        (package / "opt").mkdir()
        (package / "opt/file").write_text("packaged")
        for compression in ("xz", "gzip", "zstd"):
            run("dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(package), f"{work}/made.deb")
            with tarfile.open(work / "outer.tar", "w") as tar:
                tar.add(work / "made.deb", "made.deb")
            said = komainu(f"tar:{work}/outer.tar")
            check(said["code"] == 0 and not said["gaps"], f"deb {compression}: {said['gaps']}")
            check(files(said, 2).get("opt/file") == digest(b"packaged"), f"deb {compression}: {files(said, 2)}")


def main():
    if not shutil.which("tar"):
        print("SKIP: tar is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="km-archives-") as folder:
        work = pathlib.Path(folder)
        make_tree(work / "tree")
        tar_dialects(work)
        compressors(work)
        nested(work)
    print(f"{passed} comparisons passed")


main()
