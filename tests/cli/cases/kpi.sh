# Key figures, the survey, what a year costs and saves.
export KOMAINU_STORE=$PWD/desk.db
kpi() { echo "\$ komainu kpi $*"; "$KOMAINU" kpi "$@" 2>&1 </dev/null | grep -v ': store '; local status=${PIPESTATUS[0]}; [ "$status" = 0 ] || echo "exit $status"; }

echo '--- nothing was watched'
kpi --since 2024-01-01 --until 2024-02-01
python3 "$SOURCE/tests/cli/cases/kpi_fill.py" desk.db
echo '--- ten days'
kpi --since 2024-10-01 --until 2024-10-11
kpi --since 2024-10-01 --until 2024-10-11 -f csv | grep -E '^"?(id|precision|loss|trust|false)'
kpi --since 2024-10-01 --until 2024-10-11 --rules-age 60 | grep 'age of'
kpi --scope nowhere
kpi --since 2024-10-11 --until 2024-10-01
kpi --since 9999-01-01
kpi frobnicate

echo '--- survey'
kpi survey
kpi survey --stage shadow
kpi survey --stage shadow --answers 4,5,3
kpi survey --stage shadow --answers 4,5,3,4,2
kpi survey --stage shadow --answers 2,5,3,4,2
kpi --since 1h | grep trust

echo '--- cost'
kpi cost --since 2024-10-01 --until 2024-10-11 --wage 40
kpi cost --wage 60:40:20
kpi cost --effect 2
kpi cost --since 2024-10-01 --until 2024-10-11 --wage 20:40:80 --hardware 1000 --incident-cost 10000:50000:100000 --base-rate 0:0.2:1 --effect 0.1:0.5:0.8 --currency EUR
kpi cost --since 2024-10-01 --until 2024-10-11 --alerts-per-day 2 --minutes-per-alert 3 --spread 10 -f csv

echo '--- JSON follows its schema'
for what in show cost; do
  "$KOMAINU" kpi $what --since 2024-10-01 --until 2024-10-11 -f json >out.json || echo "failed: $what"
  python3 "$SOURCE/tests/cli/cases/follows.py" "$SOURCE/data/schema/kpi-1.json" out.json || echo 'does not follow'
done
