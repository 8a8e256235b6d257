# Makes a broker take the cookie in $1 and then renames that file to $2, or leaves it when there is no $2: other brokers
# are to take it first. The rest is the rabbitmqctl command that does it.
new=$1; file=$2; shift 2
out=$("$@" 2>&1) || { code=$?; printf '%s\n' "$out" >&2; exit "$code"; }
case $out in
*true*) test -n "$file" || exit 0; exec mv -f -- "$new" "$file" ;;
esac
printf '%s\n' "$out" >&2
exit 70
