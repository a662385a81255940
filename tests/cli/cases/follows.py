"""follows.py SCHEMA FILE: says which schema a JSON document names and its members; fails when it does not follow it."""
import json
import sys

import jsonschema

schema, document = (json.load(open(path, encoding='utf-8')) for path in sys.argv[1:3])
jsonschema.Draft202012Validator.check_schema(schema)
errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
for error in errors[:5]:
    print(f'{error.json_path}: {error.message[:200]}')
print(document['schema'], sorted(document))
sys.exit(bool(errors))
