# The model that ships is what its card says; one that was changed is not.
show() { echo "\$ komainu $*"; "$KOMAINU" "$@" 2>&1; echo "exit $?"; }
cp -r "$SOURCE/models/default" model
show model verify model
show model info model | grep -E '^(terms|parts|figures)|no malware|^exit'
"$KOMAINU" model info model --format json | grep -c '"name": "detect.unseen.twin.auc"'
find model -size +6M
printf x >>model/index.kmti
show model verify model
show model info .
show model paint model
show train
show train --data nowhere --out model
show evaluate model
show evaluate
