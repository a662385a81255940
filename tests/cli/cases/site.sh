# The shipped model and the site's baseline: what alarms, what the site knows, and what cannot be opened. Scores depend on
# the processor in their last digits, so only their order is compared.
model=$SOURCE/models/default
summary() { # FILE: verdict, and of each finding the evidence; kept scores go to "scores"
  python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
print(d["verdict"])
for f in d["findings"]:
    print(" ", f["verdict"], f["subject"]["path"], *[e["id"] for e in f["evidence"]])
print("  programs judged:", d["false_alarms"]["programs"])' "$1"
}
scan() { # NAME ARGUMENT...
  local name=$1
  shift
  "$KOMAINU" scan --format json --model "$model" "$@" >"$name.json"
  echo "status $?"
  summary "$name.json"
}
image() { # NAME: a folder with a package database that owns nothing but itself
  mkdir -p "$1/var/lib/dpkg/info" "$1/opt/acme"
  printf 'Package: base-files\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n' >"$1/var/lib/dpkg/status"
  printf '/.\n' >"$1/var/lib/dpkg/info/base-files.list"
}
program() {
  cat <<'PROGRAM'
#!/usr/bin/env python3
"""Inventory of our own switches: which ports answer, and with which banner."""
import argparse, csv, datetime, logging, pathlib, socket
class Inventory:
    def __init__(self, directory, timeout):
        self.directory, self.timeout, self.started = pathlib.Path(directory), timeout, datetime.datetime.now()
        self.banners, self.failures, self.addresses = {}, [], []
    def probe_port(self, target, port):
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        probe.settimeout(self.timeout)
        if probe.connect_ex((target, port)) == 0:
            self.banners[target, port] = probe.recv(256)
    def write_report(self):
        with open(self.directory / "inventory.csv", "w", newline="", encoding="utf-8") as output:
            writer = csv.writer(output, delimiter=";")
            for (target, port), banner in sorted(self.banners.items()):
                writer.writerow([target, port, banner.decode("latin-1").strip()])
        logging.info("report written to %s", self.directory)
PROGRAM
}

echo "-- a program of the site's own that looks odd"
image old && image new
program >old/opt/acme/inventory
program | sed 's/write_report/write_table/; s/failures/refused/'  >new/opt/acme/inventory
echo 'print("a later build")' >>new/opt/acme/inventory
chmod 755 old/opt/acme/inventory new/opt/acme/inventory
scan before --baseline none dir:new

echo "-- an alarm does not become normal in silence"
"$KOMAINU" baseline --store store --model "$model" add dir:old; echo "status $?"
"$KOMAINU" baseline --store store --model "$model" --force 'our own inventory' add dir:old; echo "status $?"

echo "-- the same bytes are known, another build is quieter"
scan known --baseline store --all dir:old
scan after --baseline store --all dir:new
python3 - <<'COMPARE'
import json
score = {n: json.load(open(n + ".json"))["findings"][0]["score"] for n in ("before", "known", "after")}
print("another build is quieter:", score["after"] < score["before"] - 0.1, "the same bytes more so:", score["known"] < score["after"])
find = {e["id"]: e for e in json.load(open("after.json"))["findings"][0]["evidence"]}
print("nearer to the site's own:", find["tokens.lookalike"]["args"]["score"] < 0)
COMPARE

echo "-- packed, and nobody vouches for it"
image packed
cp "$SOURCE/tests/unit/source/packed/amd64-pie-lzma.upx" packed/opt/acme/opened && cp packed/opt/acme/opened packed/opt/acme/shut
printf '\377\377\377\377' | dd of=packed/opt/acme/shut bs=1 seek=400 conv=notrunc status=none
chmod 755 packed/opt/acme/*
scan packed --baseline none --all dir:packed
