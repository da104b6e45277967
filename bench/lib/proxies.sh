# shellcheck shell=bash
# proxies.sh: the subjects of the bench: how each is installed, started, and ended.
#
# A subject is a name. subject_start NAME [TOOL …] starts it on core $PROXY_CPU, under TOOL (callgrind) when one is
# given, waits until it accepts connections, and leaves its first process in PID[NAME]; its port is in PORT[NAME].

declare -A PID PORT

HTTP_SUBJECTS=(relay nginx nginx-plain-log haproxy weir)
CHAIN_SUBJECTS=(weir-breaker)
# Two proxies, the first before the second, which is a subject of its own: NAME-inner. PID[NAME] has both.
PAIR_SUBJECTS=(nginx-pair nginx-pair-inner weir-pair weir-pair-inner)
STDIO_SUBJECTS=(weir-stdio mcp-proxy supergateway supergateway-stateful)

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need COMMAND PACKAGE: installs the Debian package that has the command, when it is missing.
need() {
    command -v "$1" >/dev/null && return
    echo "bench: installing $2" >&2
    as_root apt-get install -y -q --no-install-recommends "$2" >"$RUN/apt.log" 2>&1 ||
        { as_root apt-get update -q >"$RUN/apt.log" 2>&1 &&
            as_root apt-get install -y -q --no-install-recommends "$2" >>"$RUN/apt.log" 2>&1; } ||
        { tail -n 5 "$RUN/apt.log" >&2; die "cannot install $2"; }
    hash -r
}

# The npm bridges and the Node that runs them.
need_npm_bridges() {
    command -v npm >/dev/null || need npm npm
    if ! cmp -s bench/package-lock.json bench/node_modules/.installed-lock; then
        echo "bench: installing npm packages" >&2
        (cd bench && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || die "npm ci failed"
        cp bench/package-lock.json bench/node_modules/.installed-lock
    fi
    PATH=$PWD/bench/node_modules/.bin:$PATH
}

# Those of the named subjects that can run here: all but weir before it is built.
available() {
    local name
    for name; do
        case $name in
        weir*) [ -x ./weir ] && echo "$name" ;;
        *) echo "$name" ;;
        esac
    done
}

# configure TEMPLATE NAME [PLACEHOLDER VALUE]...: writes $RUN/NAME.conf
configure() {
    local template=$1 name=$2 script="s|@RUN@|$RUN|g;s|@ORIGIN@|${PORT[$2-inner]:-$ORIGIN_PORT}|g;s|@PORT@|${PORT[$2]}|g;s|@NAME@|$2|g"
    shift 2
    while [ $# -gt 0 ]; do
        script+=";s|@$1@|$2|g"
        shift 2
    done
    sed "$script" "bench/conf/$template" >"$RUN/$name.conf"
}

wait_for_port() {
    local name=$1 tries
    for ((tries = 0; tries < 300; tries++)); do
        if (exec 3<>"/dev/tcp/127.0.0.1/${PORT[$name]}") 2>/dev/null; then return; fi
        kill -0 "${PID[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$RUN/$name.out" >&2
    die "$name does not accept connections on port ${PORT[$name]}; its output is in $RUN/$name.out"
}

# The commands, by subject. The server and the children of stdio bridges run on a core of their own.
subject_command() {
    local name=$1 single=$2 stdio_child="taskset -c $SERVER_CPU $PWD/build/bench/origin --stdio"
    case $name in
    relay) COMMAND=(build/bench/relay "127.0.0.1:${PORT[relay]}" "127.0.0.1:$ORIGIN_PORT") ;;
    nginx | nginx-plain-log | nginx-pair | nginx-pair-inner)
        configure nginx.conf "$name" LOG "$([ "$name" != nginx-plain-log ] && echo 'buffer=64k flush=1s')"
        COMMAND=(nginx -c "$RUN/$name.conf" -g "daemon off;$([ -n "$single" ] && echo ' master_process off;')")
        ;;
    haproxy)
        configure haproxy.cfg "$name"
        COMMAND=(haproxy -db -f "$RUN/$name.conf")
        ;;
    weir | weir-breaker)
        configure weir.yaml "$name" BREAKER "$([ "$name" = weir-breaker ] && echo breaker,)"
        COMMAND=(./weir -c "$RUN/$name.conf")
        ;;
    weir-pair)
        configure weir-edge.yaml "$name" INNER "${PORT[$name-inner]}"
        COMMAND=(./weir -c "$RUN/$name.conf")
        ;;
    weir-pair-inner)
        configure weir-inner.yaml "$name"
        COMMAND=(./weir -c "$RUN/$name.conf")
        ;;
    weir-stdio)
        configure weir-stdio.yaml "$name" CHILD "[${stdio_child// /, }]"
        COMMAND=(./weir -c "$RUN/$name.conf")
        ;;
    mcp-proxy)
        # shellcheck disable=SC2206 # the child is a command of several words
        COMMAND=(node bench/node_modules/.bin/mcp-proxy --host 127.0.0.1 --port "${PORT[$name]}" --server stream
            -- $stdio_child)
        ;;
    supergateway | supergateway-stateful)
        COMMAND=(node bench/node_modules/.bin/supergateway --stdio "exec $stdio_child" --outputTransport streamableHttp
            --port "${PORT[$name]}")
        [ "$name" = supergateway-stateful ] && COMMAND+=(--stateful)
        ;;
    esac
}

subject_start() {
    local name=$1
    shift
    subject_command "$name" "$*"
    taskset -c "$PROXY_CPU" "$@" "${COMMAND[@]}" </dev/null >"$RUN/$name.out" 2>&1 &
    PID[$name]=$!
    wait_for_port "$name"
}

pair_start() {
    subject_start "$1-inner"
    subject_start "$1"
    PID[$1]="${PID[$1]} ${PID[$1-inner]}"
}

# Asks first: a tool that wraps the subject writes its figures on the way out.
subject_stop() {
    local name=$1 tries pid=${PID[$1]:-}
    pid=${pid%% *}
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    unset "PID[$name]"
}

origin_start() {
    taskset -c "$SERVER_CPU" build/bench/origin "127.0.0.1:$ORIGIN_PORT" </dev/null >"$RUN/origin.out" 2>&1 &
    PID[origin]=$!
    wait_for_port origin
}

stop_all() {
    local name
    for name in "${!PID[@]}"; do subject_stop "$name"; done
}

# Ports in a row from $BENCH_PORT on, the server's first.
assign_ports() {
    local name port=$BENCH_PORT
    ORIGIN_PORT=$port
    PORT[origin]=$port
    for name in "${HTTP_SUBJECTS[@]}" "${STDIO_SUBJECTS[@]}" "${CHAIN_SUBJECTS[@]}" "${PAIR_SUBJECTS[@]}"; do PORT[$name]=$((++port)); done
}
