#!/usr/bin/env python3
"""Images made by real tools, read by komainu's source module and, as the second opinion, by Python's tarfile and umoci.

usage: source_images.py LIST_ENTRIES

Needs root, buildah, podman, skopeo and umoci (exit 77 without them); dockerd is used when it is there and starts.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

LIST_ENTRIES = os.path.abspath(sys.argv[1])
TYPES = {tarfile.REGTYPE: 0, tarfile.AREGTYPE: 0, tarfile.GNUTYPE_SPARSE: 0, tarfile.DIRTYPE: 1, tarfile.SYMTYPE: 2,
         tarfile.LNKTYPE: 3, tarfile.CHRTYPE: 4, tarfile.BLKTYPE: 5, tarfile.FIFOTYPE: 6}
FILE, WHITEOUT, OPAQUE, HARDLINK = 0, 8, 9, 3
passed = 0


def check(truth, text):
    global passed
    if not truth:
        sys.exit(f"FAILED: {text}")
    passed += 1


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout.decode().strip()


# ---- What komainu says -----------------------------------------------------------------------------------------------

def komainu(target, stdin=None):
    done = subprocess.run([LIST_ENTRIES, "--depth", "0", target], stdin=stdin, stdout=subprocess.PIPE, check=False)
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    said = {"code": done.returncode, "entries": [], "gaps": [], "blobs": []}
    for line in lines:
        what = line.pop("what")
        if what == "entry":
            said["entries"].append(line)
        elif what in ("end", "place"):
            said["entries"][line["id"]].update(line)
        elif what == "gap":
            said["gaps"].append(line)
        elif what == "blob":
            said["blobs"].append(line)
        else:
            said["run"] = line
    return said


# ---- What Python says ------------------------------------------------------------------------------------------------

def python_layer(stored):
    """(type, path, link, size, SHA-256) of every member, as source.h words it."""
    found = []
    archive = tarfile.open(fileobj=io.BytesIO(stored), mode="r:*", encoding="latin-1", errors="strict")
    for member in archive:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        path, kind, size, digest, link = "/".join(parts), TYPES.get(member.type, 0), 0, "", None
        name = parts[-1] if parts else ""
        if kind in (2, HARDLINK):
            link = member.linkname
        if kind == FILE:
            content = archive.extractfile(member).read()
            size, digest = len(content), hashlib.sha256(content).hexdigest()
            if name == ".wh..wh..opq":
                kind, path = OPAQUE, "/".join(parts[:-1])
            elif name.startswith(".wh.") and not name.startswith(".wh..wh."):
                kind, path = WHITEOUT, "/".join(parts[:-1] + [name[4:]])
        found.append((kind, path, link, size, digest))
    return found


def python_image(blobs):
    """The layers of the one image, base first: names of blobs."""
    if "manifest.json" in blobs:
        return json.loads(blobs["manifest.json"])[0]["Layers"]
    index = json.loads(blobs["index.json"])
    manifest = json.loads(blobs["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])
    return ["blobs/" + layer["digest"].replace(":", "/") for layer in manifest["layers"]]


def blobs_of(path):
    if os.path.isdir(path):
        root = pathlib.Path(path)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    blobs, links = {}, {}
    for member in tarfile.open(path, mode="r:*"):
        if member.isfile():
            blobs[member.name] = tarfile.open(path).extractfile(member.name).read()
        elif member.issym():
            links[member.name] = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
    for name, target in links.items():
        blobs[name] = blobs[target]
    return blobs


def compare(label, path, said):
    check(said["code"] == 0, f"{label}: {said['run']}")
    check(not said["gaps"], f"{label}: gaps {said['gaps']}")
    blobs, total = blobs_of(path), 0
    by_digest = {blob["stored"]: i for i, blob in enumerate(said["blobs"])}
    for number, name in enumerate(python_image(blobs)):
        wanted = python_layer(blobs[name])
        blob = by_digest[hashlib.sha256(blobs[name]).hexdigest()]
        got = [(e["type"], e["path"], e["link"], e["size"], e["sha256"] if e["type"] == FILE else "")
               for e in said["entries"] if e["blob"] == blob]
        wanted = [(k, p, l, s if k == FILE else 0, d if k == FILE else "") for k, p, l, s, d in wanted]
        check(got == wanted, f"{label}: layer {name}\n{got}\n{wanted}")
        check(all(e["layer"] == number for e in said["entries"] if e["blob"] == blob), f"{label}: order of layers")
        total += sum(size for kind, _, _, size, _ in wanted if kind == FILE)
    check(said["run"]["bytes_total"] == total == said["run"]["bytes_examined"], f"{label}: bytes_total")


def deletions(label, said):
    """What this test's image deletes and replaces, whoever packed it."""
    def fate(path, layer):
        entry = [e for e in said["entries"] if e["path"] == path and e["layer"] == layer and e["type"] == FILE]
        check(len(entry) == 1, f"{label}: {path} in layer {layer}")
        return entry[0]["deleted"], entry[0]["replaced"]
    check(fate("opt/gone", 0) == (True, False), f"{label}: a deleted file")
    check(fate("opt/d/a", 0)[0], f"{label}: a file in a directory that was removed and made again")
    check(fate("etc/passwd", 0) == (False, True), f"{label}: a replaced file")
    check(fate("etc/passwd", 1) == (False, False), f"{label}: the file that replaces it")
    check(fate("opt/keep/k", 0) == (False, False), f"{label}: an untouched file")


def merged(said):
    return {e["path"]: e["sha256"] for e in said["entries"]
            if e["type"] == FILE and not e["deleted"] and not e["replaced"]}


# ---- Making images ---------------------------------------------------------------------------------------------------

def make_tree(root):
    for folder in ("etc", "usr/bin", "opt/d", "opt/keep", "odd"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/true", root / "usr/bin/true")
    os.link(root / "usr/bin/true", root / "usr/bin/hard")
    os.symlink("passwd", root / "etc/link")
    os.symlink("loop", root / "etc/loop")
    for name, text in (("etc/passwd", "root"), ("opt/gone", "secret"), ("opt/d/a", "a"), ("opt/d/b", "b"),
                       ("opt/keep/k", "k"), ("odd/" + "n" * 200, "long"), ("odd/new\nline\x1b[31m", "control")):
        (root / name).write_text(text)
    os.mkfifo(root / "odd/fifo")
    with open(root / "odd/sparse", "wb") as sparse:
        sparse.seek(3 << 20)
        sparse.write(b"end")


def change_tree(root):
    (root / "opt/gone").unlink()
    shutil.rmtree(root / "opt/d")
    (root / "opt/d").mkdir()
    (root / "opt/d/c").write_text("c")
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").write_text("another root")


def with_buildah(work):
    storage = ["--root", f"{work}/store", "--runroot", f"{work}/run", "--storage-driver", "vfs"]
    buildah = ["buildah", *storage]
    make_tree(work / "base")
    base = run(*buildah, "from", "scratch")
    run(*buildah, "copy", "-q", base, f"{work}/base", "/")
    run(*buildah, "commit", "-q", base, "km-base")
    top = run(*buildah, "from", "--pull-never", "localhost/km-base")
    change_tree(pathlib.Path(run(*buildah, "mount", top)))
    run(*buildah, "umount", top)
    run(*buildah, "commit", "-q", top, "localhost/km:1")
    for kind in ("docker-archive", "oci-archive"):
        run(*buildah, "push", "-q", "localhost/km:1", f"{kind}:{work}/buildah-{kind}.tar:km:1")
        run("podman", *storage, "save", "-q", "--format", kind, "-o", f"{work}/podman-{kind}.tar", "localhost/km:1")
        yield f"buildah {kind}", f"{work}/buildah-{kind}.tar"
        yield f"podman {kind}", f"{work}/podman-{kind}.tar"


def with_skopeo(work):
    source = f"oci-archive:{work}/buildah-oci-archive.tar"
    run("skopeo", "copy", "-q", source, f"docker-archive:{work}/skopeo.tar:km:1")
    yield "skopeo docker-archive", f"{work}/skopeo.tar"
    for compression in ("gzip", "zstd"):
        run("skopeo", "copy", "-q", "--dest-compress-format", compression, source, f"oci:{work}/oci-{compression}:1")
    yield "skopeo oci, gzip", f"{work}/oci-gzip"
    gz, zstd = komainu(f"{work}/oci-gzip"), komainu(f"oci-dir:{work}/oci-zstd")
    check(not zstd["gaps"] and merged(zstd) == merged(gz), "skopeo oci, zstd")  # which tarfile cannot read


def with_umoci(work):
    layout = f"{work}/umoci"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1")
    for step in (make_tree, change_tree):
        bundle = f"{work}/bundle-{step.__name__}"
        run("umoci", "unpack", "--image", f"{layout}:1", bundle, stderr=subprocess.DEVNULL)
        step(pathlib.Path(bundle, "rootfs"))
        run("umoci", "repack", "--image", f"{layout}:1", bundle, stderr=subprocess.DEVNULL)
    run("umoci", "gc", "--layout", layout, stderr=subprocess.DEVNULL)
    yield "umoci", layout


def with_dockerd(work):
    state = work / "docker"
    state.mkdir()
    host = f"unix://{state}/docker.sock"
    daemon = subprocess.Popen(
        ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "--data-root",
         f"{state}/root", "--exec-root", f"{state}/exec", "-H", host, "--pidfile", f"{state}/pid",
         "--exec-opt", "native.cgroupdriver=cgroupfs"], stdout=subprocess.DEVNULL, stderr=open(state / "log", "wb"))
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "-H", host, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                print("SKIP: dockerd does not start here; the other tools' images were compared")
                return
            time.sleep(0.05)
        context = work / "context"
        context.mkdir()
        run("tar", "-C", f"{work}/base", "-cf", f"{context}/base.tar", ".")
        run("docker", "-H", host, "import", f"{context}/base.tar", "km:base")
        (context / "new").write_text("another root")
        (context / "Dockerfile").write_text("FROM km:base\nCOPY new /etc/passwd\n")
        run("docker", "-H", host, "build", "-q", "--network", "none", "-t", "km:1", str(context),
            env={**os.environ, "DOCKER_BUILDKIT": "0"}, stderr=subprocess.DEVNULL)
        run("docker", "-H", host, "save", "-o", f"{work}/dockerd.tar", "km:1")
        yield "dockerd", f"{work}/dockerd.tar"
        container = run("docker", "-H", host, "create", "km:1", "/bin/true")
        run("docker", "-H", host, "export", "-o", f"{work}/export.tar", container)
        said = komainu(f"tar:{work}/export.tar")
        check(said["code"] == 0 and not said["gaps"], "docker export")
        check(said["run"]["bytes_total"] == said["run"]["bytes_examined"] > 0, "docker export: bytes")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


# ---- The same image in other orders and wrappings --------------------------------------------------------------------

def reorder(path, out, key):
    archive = tarfile.open(path)
    with tarfile.open(out, "w") as other:
        for member in sorted(archive.getmembers(), key=key):
            other.addfile(member, archive.extractfile(member) if member.isfile() else None)


def orders_and_wrappings(work, label, path):
    first = komainu(path)
    for name, key in (("manifest first", lambda m: (not m.name.endswith(".json"), m.name)),
                      ("manifest last", lambda m: (m.name.endswith(".json"), m.name))):
        reorder(path, work / "reordered.tar", key)
        again = komainu(str(work / "reordered.tar"))
        compare(f"{label}, {name}", work / "reordered.tar", again)
        check(merged(again) == merged(first), f"{label}, {name}: another result")
    packed = work / "packed.tar.gz"
    packed.write_bytes(gzip.compress(pathlib.Path(path).read_bytes(), 1))
    with open(packed, "rb") as stdin:
        again = komainu("-", stdin=stdin)
    check(not again["gaps"] and merged(again) == merged(first), f"{label}, gzip on standard input")


def unpacked_by_umoci(work, label, layout, said):
    bundle = work / "unpacked"
    run("umoci", "unpack", "--image", layout, str(bundle), stderr=subprocess.DEVNULL)
    root, wanted = bundle / "rootfs", {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = os.fsencode(str(path.relative_to(root))).decode("latin-1")
            wanted[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    links = {e["path"] for e in said["entries"] if e["type"] == HARDLINK and not e["deleted"] and not e["replaced"]}
    got = merged(said)
    check(set(got) | links == set(wanted), f"{label}: {sorted((set(got) | links) ^ set(wanted))}")
    check(all(wanted[name] == digest for name, digest in got.items()), f"{label}: contents")


def main():
    for tool in ("buildah", "podman", "skopeo", "umoci"):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
    if os.geteuid() != 0:
        skip("building images needs root")
    with tempfile.TemporaryDirectory(prefix="km-images-") as folder:
        work = pathlib.Path(folder)
        os.environ["CONTAINERS_CONF"] = f"{work}/containers.conf"
        (work / "containers.conf").write_text('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        for maker in (with_buildah, with_skopeo, with_umoci):
            for label, path in maker(work):
                said = komainu(path)
                compare(label, path, said)
                deletions(label, said)
                if not os.path.isdir(path):
                    orders_and_wrappings(work, label, path)
                elif label == "umoci":
                    unpacked_by_umoci(work, label, f"{path}:1", said)
        if shutil.which("dockerd") and shutil.which("docker"):
            for label, path in with_dockerd(work):
                said = komainu(path)
                compare(label, path, said)
                orders_and_wrappings(work, label, path)
        else:
            print("SKIP: docker is not installed; the other tools' images were compared")
    print(f"{passed} comparisons passed")


main()
