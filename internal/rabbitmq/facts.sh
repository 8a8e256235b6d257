# What a host says about its broker before any rabbitmqctl runs: one exec, no privileges, a few milliseconds. Most of what
# it takes is starting programs, so that the shell itself does what it can.
# $1 is the program that stands for rabbitmqctl, $2 the systemd unit, or nothing where commands start the broker, $3 the host
# part of the node's name, or nothing where the broker is not one of the host's own processes. $4 is "unit" when the state of
# the unit is wanted in any case: it takes as long as all the rest, and a node that is asked next tells more.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin"
echo "facts:cli=$(command -v "$1")"
home=~rabbitmq
case $home in /*) echo "facts:home=$home" ;; esac
boot=
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
echo "facts:boot=$boot"
# erl_call asks a node in milliseconds where rabbitmqctl boots a virtual machine of its own. OTP 23's cannot fetch output.
quick=
if call=$(command -v erl_call); then
  case $("$call" 2>&1) in *fetch_stdout*) quick=1; echo "facts:erl_call=$call" ;; esac
fi
processes=$(ps -eo args= 2>/dev/null)
if [ -z "$2" ]; then
  if command -v epmd >/dev/null 2>&1; then
    echo "facts:epmd=1"
    epmd -names 2>/dev/null | sed -n 's/^name \(.*\) at port .*/facts:registered=\1/p'
  fi
elif command -v systemctl >/dev/null 2>&1; then
  case $4,$quick,$processes in
  ,1,*beam*" -s rabbit boot"*) unit=; echo "facts:brief=1" ;;
  *) unit=$(systemctl show "$2" -p LoadState -p ActiveState -p SubState -p Result 2>/dev/null) ;;
  esac
  [ -z "$unit" ] || echo "$unit" | while read -r line; do echo "facts:unit.$line"; done
  case $unit in
  *ActiveState=inactive* | *ActiveState=failed*)
    # No broker of this host's runs, where that can be seen (hidepid hides processes), and the node would be this host's:
    # then nobody needs to be asked. With IPv6 only rabbitmqctl tries for 50 seconds to reach one that is down, and then says
    # that its host does not resolve (measured).
    if [ -n "$3" ] && [ -n "$(ps -o pid= -p 1 2>/dev/null)" ] && ! printf '%s\n' "$processes" | grep -q 'beam.* -s rabbit boot'; then
      own=" 127.0.0.1 127.0.1.1 ::1 $(hostname -I 2>/dev/null) "
      for address in $(getent ahosts "$3" 2>/dev/null | sed 's/ .*//'); do
        case "$own" in *" $address "*) echo "facts:idle=1"; break ;; esac
      done
    fi
    ;;
  esac
fi
# A rabbitmqctl that somebody's connection lost goes on (measured): its name stands at the end of the VM's arguments, and
# since OTP 27 at their beginning, too. For its first 80 milliseconds (measured) it is a shell script, or what sudo, or
# rotate.sh, is about to start. An erl_call is listed when it calls a function by its name: what it evaluates changes nothing.
printf '%s\n' "$processes" | sed -n -e 's#^[^ ]*\(beam[^ ]*\|/escript/rabbitmq[a-z-]*\) .* -extra [^ ]*/\(rabbitmq[a-z-]* .*\)$#facts:cli_running=\2#p' \
  -e 's|^[^ ]*sh \(-e \)*[^ ]*/\(rabbitmq[a-z-]* .*\)$|facts:cli_running=\2|p' \
  -e 's|^[^ ]*sh -s -- .*[ /]\(rabbitmq[a-z-]* .*eval .*\)$|facts:cli_running=\1|p' \
  -e 's|^\([^ ]*/\)\{0,1\}\(erl_call .* -a rabbit [a-z]*\)$|facts:cli_running=\2|p' \
  -e 's#^[^ ]*\(sudo\|doas\|runuser\) .*[ /]\(erl_call .* -a rabbit [a-z]*\)$#facts:cli_running=\2#p' \
  -e 's#^[^ ]*\(sudo\|doas\|runuser\) .*[ /]\(rabbitmq[a-z-]* .*\)$#facts:cli_running=\2#p'
echo "facts:end=1"
