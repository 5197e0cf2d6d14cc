# SPDX-License-Identifier: ISC
#
# table.awk: runs.csv to a table: medians, weir/peer, then every run.
# -v peers="weir libuv ..." names the columns.

function median(key,    n, i, j, v, t) {
    n = split(runs[key], v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
            t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
        }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function short(x) {
    return x >= 1e6 ? sprintf("%.2fM", x / 1e6) : x >= 1e4 ? sprintf("%.0fk", x / 1e3) \
        : sprintf(x == int(x) ? "%d" : "%.2f", x)
}
function ratio(a, b) { return b ? sprintf("%.2f", a / b) : "-" }
function gate(text, row, peer, limit, more,    x) {
    if (!((row, "weir") in runs) || (peer != "" && !((row, peer) in runs)))
        return
    x = median(row SUBSEP "weir")
    if (peer != "")
        x /= median(row SUBSEP peer)
    x = sprintf("%.2f", x) + 0 # what is shown: strace makes a lock or two contended
    printf "%-58s %7.2f  %s\n", text, x, (more ? x >= limit : x <= limit) ? "met" : "MISSED"
}

NR > 1 {
    row = $1 "," $2 "," $3 "," $4 "," $5 "," $6
    if (!(row in seen)) {
        seen[row] = 1
        rows[++n_rows] = row
    }
    runs[row, $7] = runs[row, $7] " " $9
}

END {
    n_peers = split(peers, peer, " ")
    printf "\nMedians. rate: tasks per second, more is better; all else: less is better.\n"
    printf "%-5s %-20s %3s %4s %8s", "cpu", "figure", "thr", "prod", "inflight"
    for (p = 1; p <= n_peers; p++)
        printf " %9s", peer[p]
    for (p = 2; p <= n_peers; p++)
        printf " %10s", "w/" peer[p]
    print ""
    for (r = 1; r <= n_rows; r++) {
        split(rows[r], f, ",")
        printf "%-5s %-20s %3s %4s %8s", f[1], f[6], f[3], f[4], f[5]
        for (p = 1; p <= n_peers; p++)
            printf " %9s", (rows[r], peer[p]) in runs ? short(median(rows[r] SUBSEP peer[p])) : "-"
        w = median(rows[r] SUBSEP "weir")
        for (p = 2; p <= n_peers; p++)
            printf " %10s", (rows[r], peer[p]) in runs ? ratio(w, median(rows[r] SUBSEP peer[p])) : "-"
        print ""
    }
    print "\nEvery run."
    for (r = 1; r <= n_rows; r++)
        for (p = 1; p <= n_peers; p++)
            if ((rows[r], peer[p]) in runs) {
                n = split(runs[rows[r], peer[p]], v, " ")
                printf "%-44s %-6s", rows[r], peer[p]
                for (i = 1; i <= n; i++)
                    printf " %s", short(v[i])
                print ""
            }
    print "\nGates."
    for (t = 1; t <= 2; t++) {
        gate("pinned latency p50, " t " thread(s), / glib, <= 1", "cpu1,latency," t ",1,1,latency_p50_us", "glib", 1)
        gate("pinned latency p50, " t " thread(s), / libuv, <= 0.7", "cpu1,latency," t ",1,1,latency_p50_us", "libuv", 0.7)
        gate("free rate, 64 in flight, " t " thread(s), / libuv, >= 1.5", "free,rate," t ",1,64,rate_per_s", "libuv", 1.5, 1)
        gate("free rate, 1024 in flight, " t " thread(s), / libuv, >= 1.5", "free,rate," t ",1,1024,rate_per_s", "libuv", 1.5, 1)
    }
    gate("futex calls per task, 1 in flight, <= 2", "cpu1,task,2,1,1,calls_futex", "", 2)
    gate("system calls while idle, <= 0", "cpu1,idle,4,1,0,calls_all", "", 0)
}
