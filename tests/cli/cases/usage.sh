# What a person types wrong, and what komainu says.
show() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
show
show frobnicate
show scan
show scan --no-such-option x
show scan --format xml x
show scan --depth 99 x
show scan --depth abc x
show scan --hash-list
show scan --output nonsense x
show version extra
show completion
show completion tcsh
show config
