#!/usr/bin/env bash
# Krins beside LiteLLM and Portkey: the same fake upstream, the same load, one run. Needs root for a network namespace of
# its own (Portkey listens on every interface), Python with venv, and npm. The first run installs both into DIR.
# usage: tests/scripts/load_peers.sh DIR [options of the example `load`]
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd); shift
repo=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "$dir/venv/bin/litellm" ] || { python3 -m venv "$dir/venv"; "$dir/venv/bin/pip" install -q 'litellm[proxy]!=1.82.7,!=1.82.8'; }
[ -d "$dir/node_modules/@portkey-ai/gateway" ] || npm --prefix "$dir" install --silent --no-audit --no-fund @portkey-ai/gateway
cargo build --quiet --release --manifest-path "$repo/Cargo.toml" -p krins-tests --example load
load=${CARGO_TARGET_DIR:-$repo/target}/release/examples/load
key=sk-$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
cat > "$dir/litellm.yaml" <<Y
model_list: [{model_name: fake, litellm_params: {model: openai/fake-model, api_base: http://127.0.0.1:9101/v1, api_key: sk-fake}}]
router_settings: {num_retries: 0}
general_settings: {master_key: $key}
Y
export dir load key
exec unshare --net bash -euc '
ip link set lo up 2>/dev/null || ifconfig lo up
LITELLM_LOCAL_MODEL_COST_MAP=True LITELLM_LOG=ERROR "$dir/venv/bin/litellm" --config "$dir/litellm.yaml" --host 127.0.0.1 --port 4000 --num_workers 1 >"$dir/litellm.log" 2>&1 & litellm=$!
node "$dir/node_modules/@portkey-ai/gateway/build/start-server.js" --headless --port=8787 >"$dir/portkey.log" 2>&1 & portkey=$!
trap "kill $litellm $portkey 2>/dev/null || true" EXIT
for port in 4000 8787; do
  for _ in $(seq 240); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.5; done
done
"$load" "$@" "portkey=127.0.0.1:8787,x-portkey-provider: openai,x-portkey-custom-host: http://127.0.0.1:9101/v1,authorization: Bearer x" "litellm=127.0.0.1:4000,authorization: Bearer $key"
'
