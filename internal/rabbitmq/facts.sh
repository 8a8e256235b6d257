# What a host says about its broker before any rabbitmqctl runs: one exec, no privileges, a few milliseconds.
# $1 is the program that stands for rabbitmqctl, $2 the systemd unit, or nothing where commands start the broker.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin"
echo "facts:cli=$(command -v "$1")"
echo "facts:home=$(getent passwd rabbitmq 2>/dev/null | cut -d: -f6)"
echo "facts:boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
# erl_call asks a node in milliseconds where rabbitmqctl boots a virtual machine of its own. OTP 23's cannot fetch output.
if call=$(command -v erl_call) && "$call" 2>&1 | grep -q fetch_stdout; then echo "facts:erl_call=$call"; fi
if [ -z "$2" ]; then
  if command -v epmd >/dev/null 2>&1; then
    echo "facts:epmd=1"
    epmd -names 2>/dev/null | sed -n 's/^name \(.*\) at port .*/facts:registered=\1/p'
  fi
elif command -v systemctl >/dev/null 2>&1; then
  systemctl show "$2" -p LoadState -p ActiveState -p SubState -p Result 2>/dev/null | sed 's/^/facts:unit./'
fi
# A rabbitmqctl that somebody's connection lost goes on (measured): its name stands at the end of the VM's arguments.
ps -eo args= 2>/dev/null | sed -n 's/^.*beam.* -extra [^ ]*\/\(rabbitmq[a-z-]* .*\)$/facts:cli_running=\1/p'
echo "facts:end=1"
