#!/usr/bin/env bash
# Brings the engines that the tests run beside Salon: Apache Kafka (jars by Maven, into
# .deps/kafka) and the Debian packages kcat, Chromium and fonts. Says nothing when all
# is there. What cannot be had is said in a line; then its tests are skipped, or fail
# under SALON_REQUIRE_ENGINES=1 (tests/engines.py decides).
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p .deps .stamps
exec 9>.stamps/engines.lock
flock 9

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need kcat kcat
need java default-jre-headless
need mvn maven
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
  command -v google-chrome >/dev/null 2>&1 || missing+=(chromium)
if command -v fc-list >/dev/null 2>&1; then
  [ -n "$(fc-list :lang=zh 2>/dev/null | head -1)" ] || missing+=(fonts-noto-cjk)
  fc-list 2>/dev/null | grep -qi emoji || missing+=(fonts-noto-color-emoji)
else
  missing+=(fontconfig fonts-dejavu-core fonts-noto-cjk fonts-noto-color-emoji)
fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "· installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}"; } \
      >.stamps/apt.log 2>&1 || echo "· could not install them (.stamps/apt.log)"
  else
    echo "· some tests need: apt-get install ${missing[*]}"
  fi
fi

# the clients of others, in JavaScript (scripts/web.sh has brought Node by now)
for package in tests/interop/*/node; do
  if [ ! -e "$package/node_modules/.salon" ] || ! cmp -s "$package/package-lock.json" "$package/node_modules/.salon"; then
    echo "· installing the clients of $package"
    if (cd "$package" && npm ci --no-audit --no-fund --loglevel=error >/dev/null); then
      cp "$package/package-lock.json" "$package/node_modules/.salon"
    else
      echo "· could not install them"
    fi
  fi
done

pom=tests/kafka/pom.xml
stamp=.deps/kafka/pom.xml
if ! cmp -s "$pom" "$stamp"; then
  if command -v mvn >/dev/null 2>&1; then
    echo "· fetching Apache Kafka (54 MB)"
    rm -rf .deps/kafka.new && mkdir -p .deps/kafka.new
    if mvn -q -B -f "$pom" dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$PWD/.deps/kafka.new/libs" >.stamps/mvn.log 2>&1; then
      cp "$pom" .deps/kafka.new/pom.xml
      rm -rf .deps/kafka && mv .deps/kafka.new .deps/kafka
    else
      echo "· could not fetch it (.stamps/mvn.log)"
    fi
  else
    echo "· Apache Kafka's jars need Maven"
  fi
fi
exit 0
