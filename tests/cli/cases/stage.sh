# Stages: made, checked, confirmed, taken back; what is typed wrong.
export KOMAINU_STORE=$PWD/desk.db
mask() { sed -E "s/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/by $(id -un)\\b/by USER/g"; }
stage() { echo "\$ komainu stage $*"; "$KOMAINU" stage "$@" 2>&1 </dev/null | grep -v ': store ' | mask; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }

stage list
stage set web --daemon 'nginx*' --daemon 'php*' --image 'shop/*'
stage set web --daemon 'nginx*' --daemon 'php*' --image 'shop/*' --note 'pilot of the web team' --who sato
stage set web --criterion days=0 --criterion bytes_examined=off --note 'short try'
stage advance web
stage advance web --confirm --note 'too soon'
echo '--- met'
for criterion in daemon_hours_watched loss cpu_share; do stage set web --criterion $criterion=off --note 'nothing to measure here' >/dev/null; done
stage advance web
stage advance web --confirm
stage advance web --confirm --note 'agreed on Monday' --who sato
stage list
stage back web
stage back web
echo '--- further'
stage set web --stage top --criterion top_band=0.8 --note 'another pilot went before'
stage show web --staged 9/10
stage show web --staged 11/10
stage show web --staged ten
stage set web --stage all --note 'done'
stage advance web --confirm --note 'further?'
echo '--- typed wrong'
stage
stage frobnicate
stage show
stage show nowhere
stage back nowhere
stage set 'two words' --daemon x --note x
stage set new --note x
stage set web --criterion speed=1 --note x
stage set web --criterion precision=much --note x
echo '--- the log'
"$KOMAINU" audit verify 2>/dev/null | mask | sed -E 's/[0-9a-f]{64}/HASH/'
