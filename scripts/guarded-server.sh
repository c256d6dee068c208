# Sourced, with $textnlp and $model: starts a server that asks for a key, and ends it with the script. Sets $url, $key and $work; its log
# is $work/log. Arguments: the key's name, its scopes, then further ones of `textnlp serve`.
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
key=$("$textnlp" key --name "$1" 2> "$work/entry")
{ echo "keys:"; grep '^- {' "$work/entry" | sed "s/}\$/, scopes: [$2]}/"; } > "$work/keys.yaml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$textnlp" serve --model "$model" --name smollm2 --listen "127.0.0.1:$port" --keys "$work/keys.yaml" "${@:3}" 2> "$work/log" &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 300); do
    python3 -c "import urllib.request; urllib.request.urlopen('$url/readyz')" 2>/dev/null && break
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.1
done
