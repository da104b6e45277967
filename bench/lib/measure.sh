# shellcheck shell=bash disable=SC2034,SC2153 # LINE, LAST_LINE and CPU_US are results; LOAD_PID is set by coproc
# measure.sh: what a run of load costs the processes of a subject, read from /proc.

# The live processes of a subject: its first one and all below it, but not the MCP servers that it started.
pids_of() {
    local pid comm
    for pid; do
        read -r comm 2>/dev/null <"/proc/$pid/comm" || continue
        [ "$comm" = origin ] && continue
        echo "$pid"
        # shellcheck disable=SC2046 # a list of words
        pids_of $(cat "/proc/$pid"/task/*/children 2>/dev/null)
    done
}

# CPU time of a subject so far, in nanoseconds. Where the kernel keeps no schedstat, from ticks of 10 ms.
cpu_ns() {
    local pid
    # shellcheck disable=SC2086 # of a pair it is two
    for pid in $(pids_of $1); do
        if [ -r "/proc/$pid/schedstat" ]; then
            cat "/proc/$pid"/task/*/schedstat 2>/dev/null
        else
            sed 's/.*) //' "/proc/$pid/stat" | awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f\n", ($12 + $13) * 1e9 / hz }'
        fi
    done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# Memory of a subject in bytes: proportional, so that what its processes share is counted once.
pss_bytes() {
    local pid
    for pid in $(pids_of "$1"); do cat "/proc/$pid/smaps_rollup"; done |
        awk '$1 == "Pss:" { sum += $2 } END { printf "%.0f\n", sum * 1024 }'
}

# field NAME LINE: one number of the line that load prints.
field() {
    local word
    for word in $2; do
        if [ "${word%%=*}" = "$1" ]; then
            echo "${word#*=}"
            return
        fi
    done
}

# load_begin PORT OPTION...: starts load and returns when it is ready to send; load_go lets it run and leaves its line in
# LINE; load_end lets it close its connections and leaves what it said last in LAST_LINE. What is read between these three
# is of the calls alone.
load_begin() {
    local port=$1
    shift
    coproc LOAD { exec taskset -c "$LOAD_CPU" build/bench/load "$@" "127.0.0.1:$port" 2>>"$RUN/load.err"; }
    load_pid=$LOAD_PID
    # Copies of our own: bash takes its own away the moment load ends, with the last line unread.
    exec {load_out}<&"${LOAD[0]}" {load_in}>&"${LOAD[1]}"
    eval "exec ${LOAD[0]}<&- ${LOAD[1]}>&-"
    read -r -t 150 LINE <&"$load_out" || load_failed
}

load_go() {
    echo >&"$load_in"
    read -r -t 700 LINE <&"$load_out" || load_failed
}

load_end() {
    exec {load_in}>&-
    read -r -t 30 LAST_LINE <&"$load_out" || true
    exec {load_out}<&-
    wait "$load_pid" 2>/dev/null || true
}

load_failed() {
    tail -n 5 "$RUN/load.err" >&2
    die "load failed"
}

# measure NAME OPTION...: one run of load against a subject. Leaves load's line in LINE, and CPU µs per call in CPU_US.
measure() {
    local name=$1 before after calls
    shift
    load_begin "${PORT[$name]}" -s "$@"
    before=$(cpu_ns "${PID[$name]}")
    load_go
    after=$(cpu_ns "${PID[$name]}")
    load_end
    calls=$(field requests "$LINE")
    CPU_US=$(awk -v ns=$((after - before)) -v n="$calls" 'BEGIN { printf "%.3f", n ? ns / n / 1000 : 0 }')
}

# link_bytes PORT: what has gone over the connections to a port so far, both ways, without the heads of TCP and IP.
link_bytes() {
    ss -tinHO "sport = :$1" | awk '
        { for (i = 1; i <= NF; i++) if ($i ~ /^bytes_(sent|received):/) { sub(/.*:/, "", $i); sum += $i } }
        END { printf "%.0f\n", sum }'
}
