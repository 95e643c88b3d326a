#!/usr/bin/env bash
# fetch.sh FOLDER: fetch and build the clients of Java, Node and Python into FOLDER, from Maven
# Central, the npm registry and PyPI. What is there already is kept. Versions are pinned in
# java/, node/ and python/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1

need() { # need COMMAND WHAT PACKAGE
  command -v "$1" >/dev/null || { echo "$2 is missing: install it, on Debian and Ubuntu with apt-get install $3." >&2; exit 1; }
}
need mvn "Maven" "maven"
need java "Java 17 or later" "openjdk-17-jdk-headless"
need javac "Java's compiler" "openjdk-17-jdk-headless"
need npm "npm" "npm"
need node "Node 18 or later" "nodejs"
need python3 "Python 3.10 or later" "python3"
python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: install it, on Debian and Ubuntu with apt-get install python3-venv." >&2; exit 1; }

fresh() { # fresh NAME FILES...: is NAME built from just these files?
  local name=$1 sum
  shift
  sum=$(cat "$@" | sha256sum)
  [ "$(cat "$folder/$name.sum" 2>/dev/null)" = "$sum" ] && return 0
  stamp=$sum
  return 1
}

mkdir -p "$folder"
for version in 4.2.0 3.7.2 2.8.2; do
  if ! fresh "java-$version" "$here"/java/pom.xml "$here"/java/src/main/java/io/wadi/clients/*.java; then
    echo "building the Java client's program with kafka-clients $version"
    mvn -q -B -f "$here/java/pom.xml" -Dkafka.version=$version -Dout="$folder/java-$version" compile
    echo "$stamp" >"$folder/java-$version.sum"
  fi
done
mkdir -p "$folder/node"
cp "$here"/node/program.js "$here"/node/package.json "$here"/node/package-lock.json "$folder/node/"
if ! fresh node "$here"/node/package-lock.json; then
  echo "fetching KafkaJS"
  (cd "$folder/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  echo "$stamp" >"$folder/node.sum"
fi
if ! fresh python "$here"/python/requirements.txt; then
  echo "fetching aiokafka"
  python3 -m venv "$folder/python"
  "$folder/python/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
  echo "$stamp" >"$folder/python.sum"
fi
