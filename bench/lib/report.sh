# shellcheck shell=bash
# report.sh: from the figures of the rounds to the tables of RESULTS.md.

# The awk functions that every table needs: median and spread of a list, from "a b c".
STATS='
function sorted(list, out,   n, i, j, t) {
    n = split(list, out, " ")
    for (i = 2; i <= n; i++) {
        t = out[i] + 0
        for (j = i - 1; j > 0 && out[j] + 0 > t; j--) out[j + 1] = out[j]
        out[j + 1] = t
    }
    return n
}
function median(list,   v, n) {
    n = sorted(list, v)
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function spread(list, format,   v, n) {
    n = sorted(list, v)
    return sprintf(format " (" format " … " format ")", median(list), v[1], v[n])
}'

# rounds_table FILE BASE SUBJECT...: a row for each subject, from lines `round subject cpu_us rate p50 p99 errors`. Ratios
# to BASE are taken within each round, so that what slowed the machine for a while slowed both.
rounds_table() {
    local file=$1 base=$2
    shift 2
    awk -v base="$base" -v names="$*" "$STATS"'
    { cpu[$2] = cpu[$2] " " $3; at[$1, $2] = $3; rounds[$1] = 1
      rate[$2] = rate[$2] " " $4; p50[$2] = p50[$2] " " $5; p99[$2] = p99[$2] " " $6; errors[$2] += $7 }
    END {
        subjects = split(names, order, " ")
        print "| | CPU µs per call | against " base " | calls/s | p50 µs | p99 µs | errors |"
        print "|---|---|---|---|---|---|---|"
        for (i = 1; i <= subjects; i++) {
            s = order[i]; ratio = ""
            for (r in rounds) if (at[r, base] > 0 && (r, s) in at) ratio = ratio " " at[r, s] / at[r, base]
            printf "| %s | %s | %s | %.0f | %s | %s | %d |\n", s, spread(cpu[s], "%.1f"),
                s == base || ratio == "" ? "" : spread(ratio, "%.2f"), median(rate[s]),
                spread(p50[s], "%.0f"), spread(p99[s], "%.0f"), errors[s]
        }
    }' "$file"
}

# column_median FILE SUBJECT COLUMN
column_median() {
    awk -v subject="$2" -v column="$3" "$STATS"'
    $2 == subject { list = list " " $column }
    END { if (list != "") printf "%.3f\n", median(list) }' "$1"
}

# ratio_median FILE SUBJECT BASE: of CPU per call, taken within each round.
ratio_median() {
    awk -v subject="$2" -v base="$3" "$STATS"'
    { at[$1, $2] = $3; rounds[$1] = 1 }
    END {
        for (r in rounds) if (at[r, base] > 0 && (r, subject) in at) list = list " " at[r, subject] / at[r, base]
        if (list != "") printf "%.3f\n", median(list)
    }' "$1"
}

# target WHAT VALUE LIMIT UNIT: one line that says whether it was reached, and by how much not.
target() {
    if [ -z "$2" ]; then
        echo "Target: $1 at or under $3$4. **Not measured**: there was no \`./weir\`."
    else
        awk -v what="$1" -v value="$2" -v limit="$3" -v unit="$4" 'BEGIN {
            printf "Target: %s at or under %s%s. weir: %.2f%s, ", what, limit, unit, value, unit
            if (value <= limit) print "**reached**."
            else printf "**missed** by %.2f%s (%.0f %%).\n", value - limit, unit, (value / limit - 1) * 100 }'
    fi
}

# section NAME: replaces the section of that name in RESULTS.md by what comes on stdin; the others stay as they were.
section() {
    local file=bench/RESULTS.md name=$1 text
    text=$(cat)
    printf '%s\n' "$text" >"$RUN/$name.md"
    awk -v name="$name" -v text="$RUN/$name.md" '
        function put() {
            print "<!-- " name " -->"
            while ((getline line < text) > 0) print line
            print "<!-- end -->"
            done = 1
        }
        $0 == "<!-- " name " -->" { put(); skip = 1 }
        !skip { print }
        $0 == "<!-- end -->" { skip = 0 }
        END { if (!done) { print ""; put() } }' "$file" >"$RUN/RESULTS.md" 2>/dev/null
    cat "$RUN/RESULTS.md" >"$file"
    cat "$RUN/$name.md"
}
