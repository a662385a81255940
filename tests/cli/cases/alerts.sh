# Incidents: listed, shown, decided about, suppressed; what is typed wrong.
export KOMAINU_STORE=$PWD/desk.db
user=$(id -un)
mask() { sed -E "s/20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/by $user\\b/by USER/g; s/(@|to |owner: )$user\\b/\\1USER/g"; }
alerts() { echo "\$ komainu alerts $*"; "$KOMAINU" alerts "$@" 2>&1 | grep -v ': store ' | mask; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }

"$KOMAINU" alerts list
python3 "$SOURCE/tests/cli/cases/desk_fill.py" desk.db
alerts list
alerts list --limit 2
alerts list --search 'vendor'
alerts list --search 'daemon:nginx -curl'
alerts list --subject nginx
alerts list --since 1h --before 2020-01-01
alerts digest
alerts show 1
alerts show 2

echo '--- assign, decide, undo'
alerts assign 1 sato --service shop --importance 2 --minutes 3
alerts list --assignee sato
alerts decide 1 attack
alerts decide 1 attack --note 'known bad agent'
alerts state 1 recovered --minutes 30 --note 'image rebuilt'
alerts decide 3 benign-learn --note 'certificate renewal' --minutes 1
alerts decide 3 attack --note 'too late'
alerts undo 3 --note 'was another machine'
alerts undo 3 --note 'again'
alerts decide 3 benign-until --note 'until the ticket is done' --until 2999-01-01
alerts decide 3 benign-until --note 'until the ticket is done' --until 2020-01-01
alerts decide 3 benign-until --note 'until the ticket is done' --until 14d
alerts show 3 | sed -n '/^decisions/,/^$/p'
alerts list --all --state closed

echo '--- suppress'
alerts suppress
alerts suppress add --daemon 'cron*' --until 7d
alerts suppress add --until 7d --reason x
alerts suppress add --daemon 'cron*' --until 2y --reason x
alerts suppress add --daemon 'cron*' --until 7d --reason 'nightly job reads them'
alerts suppress
alerts list
alerts list --suppression 1
alerts suppress end 1
alerts list
alerts list --suppression 1
alerts list --returned --limit 1
alerts suppress --all
alerts suppress end 1

echo '--- budgets'
alerts budget budget.daemon 1
alerts budget budget.daemon 99999
alerts budget budget.nothing 1

echo '--- JSON follows its schema'
for what in list digest 'show 1' 'show 2' 'show 3' 'suppress --all'; do
  "$KOMAINU" alerts $what -f json >out.json || echo "failed: $what"
  python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/alerts-1.json" out.json || echo 'does not follow'
done

echo '--- typed wrong'
alerts
alerts frobnicate
alerts show
alerts show x
alerts show 99
alerts decide 1 harmless --note x
alerts decide 1
alerts decide 1 benign-until --note x
alerts list --since yesterday
alerts list --search '"open'
alerts list --store /nonexistent/desk.db
echo 'no store' >text.db
alerts list --store text.db

echo '--- the log of all that'
"$KOMAINU" audit list 2>/dev/null | mask | sed -E "s/  $user  /  USER  /; s/[0-9]{19}/NS/g; s/(owner\":\")$user/\1USER/"
"$KOMAINU" audit verify 2>/dev/null
