# SPDX-License-Identifier: Apache-2.0
# Read by the tests that kill. The moments follow from TESSERA_SEED, which is printed.
seed=${TESSERA_SEED:-$(date +%s)}
kills=20
echo "TESSERA_SEED=$seed"

# now_us: microseconds
now_us() { echo $(($(date +%s%N) / 1000)); }

# kill_often MICROSECONDS: attempt NUMBER, a function that ends in exec, is killed $kills times,
# each within the time given; at least five kills must find it at work.
kill_often()
{
    i=0
    landed=0
    while [ $i -lt $kills ]; do
        i=$((i + 1))
        attempt $i > /dev/null 2>&1 &
        pid=$!
        sleep "$(awk -v s="$seed" -v i="$i" -v t="$1" \
            'BEGIN { srand(s * 100 + i); printf "%.4f", rand() * t / 1e6 }')"
        if kill -9 "$pid" 2> /dev/null; then landed=$((landed + 1)); fi
        wait "$pid" 2> /dev/null || true
    done
    echo "$landed of $kills kills found it at work"
    [ "$landed" -ge 5 ] || { echo "too few for a test"; exit 1; }
}
