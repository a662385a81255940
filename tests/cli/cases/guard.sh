# What can be said of komainu guard without the kernel: bad usage.
run() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
run guard
run guard --unit x.service --learn soon
run guard --unit x.service --learn -5s
run guard --unit x.service --learn 1e300d
run guard --unit x.service --for 0s
run guard --unit x.service --for 5q
run guard --unit x.service --relearn
run guard --unit x.service --budget 0
run guard --unit x.service surplus
