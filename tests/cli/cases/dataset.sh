# A data set from packages that are at hand; one that is not fails alone, and is counted.
command -v dpkg-deb >/dev/null || { echo "skip: no dpkg-deb"; exit 77; }
show() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
mkdir cache
# package NAME ROLE SPLIT LINE: one script of 2 KiB in a package of that name
package() {
  mkdir -p "$1/DEBIAN" "$1/usr/bin" "$1/usr/share/doc/$1"
  printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n' "$1" >"$1/DEBIAN/control"
  { echo '#!/bin/sh'; for i in $(seq 100); do echo "echo $4 $i"; done; } >"$1/usr/bin/$1"
  { echo '#!/bin/sh'; for i in $(seq 200); do echo "echo same $i"; done; } >"$1/usr/bin/same-$1"
  cp "$1/usr/bin/$1" "$1/usr/share/doc/$1/example.sh"
  SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group -Zgzip --build "$1" "$1.deb" >/dev/null
  sum=$(sha256sum <"$1.deb" | cut -c1-64)
  mv "$1.deb" "cache/$sum.deb"
  printf '%s\t%s\t%s\tbookworm\tall\t%s\t1\tscript\t%s\t%s\tpool/main/%s.deb\n' "$2" "$3" "$1" "$1" \
    "$(stat -c %s "cache/$sum.deb")" "$sum" "$1" >>recipe.tsv
}
echo '# komainu-recipe 1' >recipe.tsv
package strange positive train "scan the network"
package usual benign train "print a line"
package tool hard test "list what is open"
show dataset build recipe.tsv --to set --cache cache --mirror http://127.0.0.1:9 | grep -v '^digest'
show dataset info set | grep -v '^digest'
show dataset verify set
printf 'benign\ttest\tgone\tbookworm\tall\tgone\t1\tscript\t9\t%064d\tpool/main/gone.deb\n' 1 >>recipe.tsv
cp set/dataset.json before.json
"$KOMAINU" dataset build recipe.tsv --to set --cache cache --mirror http://127.0.0.1:9 -j 2 2>/dev/null | grep -v '^digest'
cmp -s set/dataset.json before.json || echo "another digest"
"$KOMAINU" dataset info set --format json | grep -E '"(failed|samples)"'
printf x | dd of=set/samples.bin bs=1 seek=100 conv=notrunc 2>/dev/null
show dataset verify set
show dataset info nowhere
show dataset build recipe.tsv
show dataset build before.json --to set
show dataset paint set
