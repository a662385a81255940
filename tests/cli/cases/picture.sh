# Pictures appear when they are complete, one for each target.
mkdir -p one two && head -c 5000 /dev/urandom >one/random && echo text >two/text
"$KOMAINU" scan --picture all.png one two >/dev/null; echo "exit $?"
ls *.png
"$KOMAINU" scan --picture one.png one >/dev/null; echo "exit $?"
head -c 8 one.png | od -An -tx1
"$KOMAINU" scan --picture /nonexistent/x.png one 2>&1 >/dev/null; echo "exit $?"
ls
