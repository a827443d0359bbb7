"""The built-in policy, prepared (see prepared.py). Made by `scripts/reference` from default.json: change that one."""

from typing import Any, Dict, Tuple

from ebpfless_arch.rules.patterns import later
from ebpfless_arch.rules.prepared import Prepared, nobody

NOBODY = nobody()
_here = globals()

DIGEST = 3610890398
VERSION = '0.1.0'
CASES: Dict[str, Any] = {'open': [([('flags', 3, True, (),)], (frozenset([b'/dev/kmem', b'/dev/mem', b'/etc/boto.cfg', b'/etc/gshadow', b'/etc/gshadow-', b'/etc/krb5.keytab', b'/etc/rancher/k3s/k3s.yaml', b'/etc/rancher/rke2/rke2.yaml', b'/etc/security/opasswd', b'/etc/shadow', b'/etc/shadow-', b'/proc/kcore', b'/root/.config/gh/hosts.yml', b'/root/.gem/credentials', b'/root/.git-credentials', b'/root/.my.cnf', b'/root/.mylogin.cnf', b'/root/.netrc', b'/root/.npmrc', b'/root/.pgpass', b'/root/.pypirc', b'/root/.vault-token', b'/var/backups/gshadow.bak', b'/var/backups/shadow.bak', b'/var/lib/kubelet/kubeconfig', b'/var/lib/rancher/k3s/server/token']), (b'/etc/ssh/ssh_host_', b'/root/.config/gcloud/legacy_credentials/', b'/run/containers/', b'/run/secrets/kubernetes.io/serviceaccount/', b'/var/run/secrets/kubernetes.io/serviceaccount/', b'/run/secrets/eks.amazonaws.com/serviceaccount/', b'/var/run/secrets/eks.amazonaws.com/serviceaccount/', b'/run/secrets/azure/tokens/', b'/var/run/secrets/azure/tokens/', b'/run/secrets/tokens/', b'/var/run/secrets/tokens/', b'/var/lib/kubelet/pods/', b'/var/lib/kubelet/pki/', b'/etc/kubernetes/', b'/etc/kubernetes/pki/', b'/var/lib/rancher/k3s/server/cred/', b'/var/lib/rancher/k3s/server/tls/', b'/tmp/krb5cc_', b'/var/tmp/krb5cc_', b'/run/user/', b'/var/lib/sss/secrets/', b'/var/lib/sss/db/ccache_', b'/root/.mozilla/firefox/', b'/root/.config/google-chrome/', b'/root/.config/chromium/', b'/proc/',), (b'/.aws/credentials', b'/.config/gcloud/access_tokens.db', b'/.azure/accessTokens.json', b'/.config/doctl/config.yaml', b'/.boto', b'/.kube/config', b'/.docker/config.json', b'/.config/containers/auth.json', b'/containers/auth.json', b'/.netrc', b'/.git-credentials', b'/.pgpass', b'/.my.cnf', b'/.mylogin.cnf', b'/.npmrc', b'/.pypirc', b'/.vault-token', b'/.gem/credentials', b'/.config/gh/hosts.yml', b'/environ',), (b'/.ssh/id_', b'/.ssh/', b'/.aws/sso/cache/', b'/.config/gcloud/', b'/.config/gcloud/legacy_credentials/', b'/.azure/msal_token_cache.', b'/.azure/service_principal_entries.', b'/.oci/', b'/.mozilla/firefox/', b'/.config/google-chrome/', b'/.config/chromium/',),),), ([('flags', 3, False, (),)], (frozenset([]), (b'/proc/',), (), (),),), ([('flags', 579, False, (),)], (frozenset([b'/etc/anacrontab', b'/etc/bash.bashrc', b'/etc/bashrc', b'/etc/crontab', b'/etc/csh.cshrc', b'/etc/csh.login', b'/etc/doas.conf', b'/etc/environment', b'/etc/group', b'/etc/gshadow', b'/etc/ld.so.preload', b'/etc/modules', b'/etc/pam.conf', b'/etc/passwd', b'/etc/profile', b'/etc/rc.local', b'/etc/shadow', b'/etc/ssh/sshd_config', b'/etc/sudoers', b'/etc/zshenv', b'/etc/zshrc', b'/root/.bash_login', b'/root/.bash_logout', b'/root/.bash_profile', b'/root/.bashrc', b'/root/.config/fish/config.fish', b'/root/.cshrc', b'/root/.kshrc', b'/root/.profile', b'/root/.tcshrc', b'/root/.zlogin', b'/root/.zprofile', b'/root/.zshenv', b'/root/.zshrc', b'/usr/local/etc/sudoers']), (b'/var/www/', b'/srv/www/', b'/usr/share/nginx/html/', b'/usr/local/apache2/htdocs/', b'/opt/tomcat/webapps/', b'/var/lib/tomcat', b'/etc/cron.d/', b'/etc/cron.hourly/', b'/etc/cron.daily/', b'/etc/cron.weekly/', b'/etc/cron.monthly/', b'/var/spool/cron/', b'/etc/crontabs/', b'/var/spool/at/', b'/var/spool/at/spool/', b'/var/spool/cron/atjobs/', b'/etc/systemd/system/', b'/etc/systemd/user/', b'/usr/lib/systemd/system/', b'/usr/lib/systemd/user/', b'/lib/systemd/system/', b'/run/systemd/system/', b'/usr/local/lib/systemd/system/', b'/etc/systemd/system-generators/', b'/root/.config/systemd/user/', b'/etc/init.d/', b'/etc/rc.d/', b'/etc/rc', b'/etc/init/', b'/etc/local.d/', b'/etc/profile.d/', b'/etc/zsh/', b'/etc/ssh/sshd_config.d/', b'/etc/ssh/authorized_keys/', b'/etc/pam.d/', b'/etc/security/', b'/usr/lib/security/', b'/lib/security/', b'/usr/lib64/security/', b'/lib64/security/', b'/etc/sudoers.d/', b'/etc/polkit-1/rules.d/', b'/usr/share/polkit-1/rules.d/', b'/etc/udev/rules.d/', b'/usr/lib/udev/rules.d/', b'/lib/udev/rules.d/', b'/run/udev/rules.d/', b'/etc/xdg/autostart/', b'/root/.config/autostart/', b'/etc/modules-load.d/', b'/usr/lib/modules-load.d/', b'/run/modules-load.d/', b'/etc/modprobe.d/', b'/lib/modprobe.d/', b'/usr/lib/modprobe.d/', b'/usr/bin/', b'/usr/sbin/', b'/bin/', b'/sbin/',), (b'/.bashrc', b'/.bash_profile', b'/.bash_login', b'/.bash_logout', b'/.profile', b'/.zshrc', b'/.zshenv', b'/.zprofile', b'/.zlogin', b'/.kshrc', b'/.cshrc', b'/.tcshrc', b'/.config/fish/config.fish', b'/.ssh/authorized_keys', b'/.ssh/authorized_keys2', b'/release_agent', b'/notify_on_release', b'/sys/kernel/core_pattern', b'/sys/kernel/modprobe', b'/sys/kernel/hotplug', b'/sys/kernel/uevent_helper', b'/sysrq-trigger',), (b'/.config/systemd/user/', b'/security/', b'/.config/autostart/', b'/.config/autostart-scripts/',),),), ([('flags', 512, False, (),)], (frozenset([b'/run/utmp', b'/var/log/audit/audit.log', b'/var/log/auth.log', b'/var/log/btmp', b'/var/log/cron.log', b'/var/log/kern.log', b'/var/log/lastlog', b'/var/log/messages', b'/var/log/secure', b'/var/log/syslog', b'/var/log/wtmp', b'/var/log/wtmp.db', b'/var/run/utmp']), (), (b'/.bash_history', b'/.zsh_history', b'/.sh_history', b'/.ash_history', b'/.history', b'/.mysql_history', b'/.psql_history', b'/.python_history', b'/.rediscli_history', b'/fish_history',), (),),)]}

k1 = frozenset(['/etc/gshadow', '/etc/gshadow-', '/etc/security/opasswd', '/etc/shadow', '/etc/shadow-', '/var/backups/gshadow.bak', '/var/backups/shadow.bak'])
k2 = frozenset(['/bin/addgroup', '/bin/adduser', '/bin/chage', '/bin/chfn', '/bin/chgpasswd', '/bin/chpasswd', '/bin/chsh', '/bin/delgroup', '/bin/deluser', '/bin/expiry', '/bin/gpasswd', '/bin/groupadd', '/bin/groupdel', '/bin/groupmems', '/bin/groupmod', '/bin/grpck', '/bin/grpconv', '/bin/grpunconv', '/bin/login', '/bin/newgrp', '/bin/newusers', '/bin/pam_timestamp_check', '/bin/passwd', '/bin/pwck', '/bin/pwconv', '/bin/pwhistory_helper', '/bin/pwunconv', '/bin/runuser', '/bin/sshd', '/bin/su', '/bin/su-rs', '/bin/sudo', '/bin/sudo-rs', '/bin/sulogin', '/bin/systemd-sysusers', '/bin/unix2_chkpwd', '/bin/unix_chkpwd', '/bin/unix_update', '/bin/useradd', '/bin/userdel', '/bin/usermod', '/bin/vigr', '/bin/vipw', '/sbin/addgroup', '/sbin/adduser', '/sbin/chage', '/sbin/chfn', '/sbin/chgpasswd', '/sbin/chpasswd', '/sbin/chsh', '/sbin/delgroup', '/sbin/deluser', '/sbin/expiry', '/sbin/gpasswd', '/sbin/groupadd', '/sbin/groupdel', '/sbin/groupmems', '/sbin/groupmod', '/sbin/grpck', '/sbin/grpconv', '/sbin/grpunconv', '/sbin/login', '/sbin/newgrp', '/sbin/newusers', '/sbin/pam_timestamp_check', '/sbin/passwd', '/sbin/pwck', '/sbin/pwconv', '/sbin/pwhistory_helper', '/sbin/pwunconv', '/sbin/runuser', '/sbin/sshd', '/sbin/su', '/sbin/su-rs', '/sbin/sudo', '/sbin/sudo-rs', '/sbin/sulogin', '/sbin/unix2_chkpwd', '/sbin/unix_chkpwd', '/sbin/unix_update', '/sbin/useradd', '/sbin/userdel', '/sbin/usermod', '/sbin/vigr', '/sbin/vipw', '/usr/bin/addgroup', '/usr/bin/adduser', '/usr/bin/chage', '/usr/bin/chfn', '/usr/bin/chgpasswd', '/usr/bin/chpasswd', '/usr/bin/chsh', '/usr/bin/delgroup', '/usr/bin/deluser', '/usr/bin/expiry', '/usr/bin/gpasswd', '/usr/bin/groupadd', '/usr/bin/groupdel', '/usr/bin/groupmems', '/usr/bin/groupmod', '/usr/bin/grpck', '/usr/bin/grpconv', '/usr/bin/grpunconv', '/usr/bin/login', '/usr/bin/newgrp', '/usr/bin/newusers', '/usr/bin/pam_timestamp_check', '/usr/bin/passwd', '/usr/bin/pwck', '/usr/bin/pwconv', '/usr/bin/pwhistory_helper', '/usr/bin/pwunconv', '/usr/bin/runuser', '/usr/bin/sshd', '/usr/bin/su', '/usr/bin/su-rs', '/usr/bin/sudo', '/usr/bin/sudo-rs', '/usr/bin/sulogin', '/usr/bin/systemd-sysusers', '/usr/bin/unix2_chkpwd', '/usr/bin/unix_chkpwd', '/usr/bin/unix_update', '/usr/bin/useradd', '/usr/bin/userdel', '/usr/bin/usermod', '/usr/bin/vigr', '/usr/bin/vipw', '/usr/sbin/addgroup', '/usr/sbin/adduser', '/usr/sbin/chage', '/usr/sbin/chfn', '/usr/sbin/chgpasswd', '/usr/sbin/chpasswd', '/usr/sbin/chsh', '/usr/sbin/delgroup', '/usr/sbin/deluser', '/usr/sbin/expiry', '/usr/sbin/gpasswd', '/usr/sbin/groupadd', '/usr/sbin/groupdel', '/usr/sbin/groupmems', '/usr/sbin/groupmod', '/usr/sbin/grpck', '/usr/sbin/grpconv', '/usr/sbin/grpunconv', '/usr/sbin/login', '/usr/sbin/newgrp', '/usr/sbin/newusers', '/usr/sbin/pam_timestamp_check', '/usr/sbin/passwd', '/usr/sbin/pwck', '/usr/sbin/pwconv', '/usr/sbin/pwhistory_helper', '/usr/sbin/pwunconv', '/usr/sbin/runuser', '/usr/sbin/sshd', '/usr/sbin/su', '/usr/sbin/su-rs', '/usr/sbin/sudo', '/usr/sbin/sudo-rs', '/usr/sbin/sulogin', '/usr/sbin/unix2_chkpwd', '/usr/sbin/unix_chkpwd', '/usr/sbin/unix_update', '/usr/sbin/useradd', '/usr/sbin/userdel', '/usr/sbin/usermod', '/usr/sbin/vigr', '/usr/sbin/vipw'])
k3 = frozenset(['bbsuid', 'busybox', 'toybox'])
k4 = frozenset(['addgroup', 'adduser', 'chpasswd', 'crond', 'delgroup', 'deluser', 'login', 'passwd', 'su', 'sulogin', 'vlock'])
k5 = later(_here, 'k5', [('string', '/usr/bin/dpkg', True,), ('string', '/usr/bin/dpkg-deb', True,), ('string', '/usr/bin/apt', True,), ('string', '/usr/bin/apt-get', True,), ('string', '/usr/bin/aptitude', True,), ('string', '/usr/bin/unattended-upgrade', True,), ('string', '/usr/bin/unattended-upgrades', True,), ('string', '/usr/bin/rpm', True,), ('string', '/usr/bin/yum', True,), ('string', '/usr/bin/dnf', True,), ('string', '/usr/bin/dnf-3', True,), ('string', '/usr/bin/dnf5', True,), ('string', '/usr/bin/dnf4', True,), ('string', '/usr/bin/microdnf', True,), ('string', '/usr/bin/zypper', True,), ('string', '/usr/bin/apk', True,), ('string', '/usr/bin/pacman', True,), ('string', '/usr/bin/snap', True,), ('string', '/usr/bin/emerge', True,), ('string', '/usr/bin/opkg', True,), ('string', '/usr/bin/rpm-ostree', True,), ('string', '/usr/bin/flatpak', True,), ('string', '/usr/bin/cloud-init', True,), ('string', '/usr/bin/salt-minion', True,), ('string', '/usr/bin/salt-call', True,), ('string', '/usr/bin/chef-client', True,), ('string', '/usr/bin/ansible-pull', True,), ('string', '/bin/rpm', True,), ('string', '/bin/opkg', True,), ('string', '/sbin/apk', True,), ('string', '/usr/sbin/apk', True,), ('string', '/usr/sbin/dpkg-reconfigure', True,), ('string', '/usr/lib/snapd/snapd', True,), ('string', '/usr/libexec/snapd/snapd', True,), ('string', '/usr/libexec/packagekitd', True,), ('string', '/usr/lib/packagekit/packagekitd', True,), ('string', '/usr/libexec/rpm-ostreed', True,), ('string', '/usr/lib/rpm-ostreed', True,), ('pattern', '/opt/puppetlabs/puppet/bin/*', True,), ('pattern', '/opt/chef/embedded/bin/*', True,), ('pattern', '/opt/cinc/embedded/bin/*', True,), ('pattern', '/opt/saltstack/salt/bin/*', True,), ('pattern', '/var/cfengine/bin/*', True,), ('pattern', '/nix/store/*/bin/nix*', True,)])
k6 = frozenset(['/etc/cron.daily/passwd', '/usr/bin/etckeeper', '/usr/bin/rkhunter', '/usr/libexec/dpkg/dpkg-db-backup', '/usr/sbin/adduser', '/usr/sbin/etckeeper', '/usr/sbin/lynis', '/usr/sbin/pwck'])
k7 = later(_here, 'k7', [('string', '/usr/bin/cron', True,), ('string', '/usr/sbin/cron', True,), ('string', '/bin/cron', True,), ('string', '/sbin/cron', True,), ('string', '/usr/bin/crond', True,), ('string', '/usr/sbin/crond', True,), ('string', '/bin/crond', True,), ('string', '/sbin/crond', True,), ('string', '/usr/bin/atd', True,), ('string', '/usr/sbin/atd', True,), ('string', '/usr/bin/agetty', True,), ('string', '/usr/sbin/agetty', True,), ('string', '/bin/agetty', True,), ('string', '/sbin/agetty', True,), ('string', '/usr/bin/mingetty', True,), ('string', '/usr/sbin/mingetty', True,), ('string', '/bin/mingetty', True,), ('string', '/sbin/mingetty', True,), ('string', '/usr/bin/getty', True,), ('string', '/usr/sbin/getty', True,), ('string', '/bin/getty', True,), ('string', '/sbin/getty', True,), ('string', '/usr/bin/polkitd', True,), ('string', '/usr/sbin/polkitd', True,), ('string', '/usr/bin/doas', True,), ('string', '/usr/sbin/doas', True,), ('string', '/usr/bin/gdm', True,), ('string', '/usr/sbin/gdm', True,), ('string', '/usr/bin/gdm3', True,), ('string', '/usr/sbin/gdm3', True,), ('string', '/usr/bin/lightdm', True,), ('string', '/usr/sbin/lightdm', True,), ('string', '/usr/bin/sddm', True,), ('string', '/usr/sbin/sddm', True,), ('string', '/usr/bin/kdm', True,), ('string', '/usr/sbin/kdm', True,), ('string', '/usr/bin/xdm', True,), ('string', '/usr/sbin/xdm', True,), ('string', '/usr/bin/vlock', True,), ('string', '/usr/sbin/vlock', True,), ('string', '/usr/bin/xscreensaver', True,), ('string', '/usr/sbin/xscreensaver', True,), ('string', '/usr/bin/swaylock', True,), ('string', '/usr/sbin/swaylock', True,), ('string', '/usr/bin/i3lock', True,), ('string', '/usr/sbin/i3lock', True,), ('string', '/usr/bin/saslauthd', True,), ('string', '/usr/sbin/saslauthd', True,), ('string', '/usr/bin/vsftpd', True,), ('string', '/usr/sbin/vsftpd', True,), ('string', '/usr/bin/proftpd', True,), ('string', '/usr/sbin/proftpd', True,), ('string', '/usr/bin/pure-ftpd', True,), ('string', '/usr/sbin/pure-ftpd', True,), ('string', '/usr/bin/dovecot', True,), ('string', '/usr/sbin/dovecot', True,), ('string', '/usr/bin/nscd', True,), ('string', '/usr/sbin/nscd', True,), ('string', '/usr/bin/unscd', True,), ('string', '/usr/sbin/unscd', True,), ('string', '/usr/bin/sssd', True,), ('string', '/usr/sbin/sssd', True,), ('string', '/usr/bin/smbd', True,), ('string', '/usr/sbin/smbd', True,), ('string', '/usr/bin/cockpit-ws', True,), ('string', '/usr/sbin/cockpit-ws', True,), ('string', '/usr/bin/nologin', True,), ('string', '/usr/sbin/nologin', True,), ('string', '/bin/nologin', True,), ('string', '/sbin/nologin', True,), ('string', '/usr/bin/dropbear', True,), ('string', '/usr/sbin/dropbear', True,), ('string', '/usr/bin/xrdp-sesman', True,), ('string', '/usr/sbin/xrdp-sesman', True,), ('string', '/usr/bin/etckeeper', True,), ('string', '/usr/sbin/etckeeper', True,), ('string', '/usr/bin/aide', True,), ('string', '/usr/sbin/aide', True,), ('string', '/usr/bin/tripwire', True,), ('string', '/usr/sbin/tripwire', True,), ('string', '/usr/bin/osqueryd', True,), ('string', '/usr/sbin/osqueryd', True,), ('string', '/usr/bin/clamd', True,), ('string', '/usr/sbin/clamd', True,), ('string', '/usr/bin/clamscan', True,), ('string', '/usr/sbin/clamscan', True,), ('string', '/usr/bin/rkhunter', True,), ('string', '/usr/sbin/rkhunter', True,), ('string', '/usr/bin/lynis', True,), ('string', '/usr/sbin/lynis', True,), ('string', '/usr/bin/restic', True,), ('string', '/usr/sbin/restic', True,), ('string', '/usr/bin/borg', True,), ('string', '/usr/sbin/borg', True,), ('string', '/usr/bin/bacula-fd', True,), ('string', '/usr/sbin/bacula-fd', True,), ('string', '/usr/bin/bareos-fd', True,), ('string', '/usr/sbin/bareos-fd', True,), ('pattern', '/usr/lib/openssh/*', True,), ('pattern', '/usr/libexec/openssh/*', True,), ('string', '/usr/libexec/sshd-session', True,), ('string', '/usr/libexec/sshd-auth', True,), ('pattern', '/usr/lib/ssh/*', True,), ('pattern', '/usr/lib/systemd/*', True,), ('pattern', '/lib/systemd/*', True,), ('pattern', '/usr/lib/polkit-1/*', True,), ('pattern', '/usr/libexec/polkit-1/*', True,), ('pattern', '/usr/lib/policykit-1/*', True,), ('pattern', '/usr/libexec/gdm-*', True,), ('pattern', '/usr/lib/gdm3/*', True,), ('pattern', '/usr/lib/dovecot/*', True,), ('pattern', '/usr/libexec/dovecot/*', True,), ('pattern', '/usr/libexec/sssd/*', True,), ('pattern', '/usr/lib/sssd/*', True,), ('string', '/usr/libexec/accounts-daemon', True,), ('string', '/usr/lib/accountsservice/accounts-daemon', True,), ('pattern', '/usr/lib/cockpit/*', True,), ('string', '/usr/libexec/cockpit-session', True,), ('string', '/opt/osquery/bin/osqueryd', True,), ('string', '/etc/cron.daily/passwd', True,), ('string', '/usr/sbin/dpkg-db-backup', True,), ('string', '/usr/libexec/dpkg/dpkg-db-backup', True,)])
k9 = later(_here, 'k9', [('pattern', '*.pub', False,)])
k10 = later(_here, 'k10', [('string', 'nginx', False,), ('string', 'openresty', False,), ('string', 'apache2', False,), ('string', 'httpd', False,), ('string', 'lighttpd', False,), ('string', 'caddy', False,), ('string', 'haproxy', False,), ('string', 'traefik', False,), ('string', 'litespeed', False,), ('pattern', 'lsphp*', False,), ('pattern', 'php-fpm*', False,), ('pattern', 'php-cgi*', False,), ('pattern', 'uwsgi*', False,), ('pattern', 'gunicorn*', False,), ('string', 'unicorn', False,), ('string', 'puma', False,), ('pattern', 'passenger*', False,), ('string', 'w3wp', False,), ('string', 'postgres', False,), ('string', 'postmaster', False,), ('string', 'mysqld', False,), ('string', 'mariadbd', False,), ('string', 'mongod', False,), ('string', 'mongos', False,), ('string', 'redis-server', False,), ('string', 'valkey-server', False,), ('string', 'keydb-server', False,), ('string', 'memcached', False,), ('pattern', 'clickhouse-serv*', False,), ('string', 'couchdb', False,), ('string', 'influxd', False,), ('string', 'cockroach', False,), ('string', 'rabbitmq-server', False,)])
k11 = frozenset(['7z', 'ack', 'ash', 'awk', 'base32', 'base64', 'basenc', 'bash', 'busybox', 'bzip2', 'cat', 'cmp', 'cp', 'cpio', 'curl', 'cut', 'dash', 'dd', 'diff', 'ed', 'egrep', 'emacs', 'fgrep', 'find', 'ftp', 'gawk', 'gpg', 'grep', 'gzip', 'hd', 'head', 'hexdump', 'install', 'jq', 'ksh', 'less', 'ln', 'mawk', 'more', 'most', 'mv', 'nano', 'nc', 'nc.openbsd', 'nc.traditional', 'ncat', 'netcat', 'nl', 'od', 'openssl', 'rclone', 'rg', 'rsync', 'scp', 'sed', 'sftp', 'sh', 'socat', 'sort', 'strings', 'tac', 'tail', 'tar', 'tee', 'tr', 'vi', 'view', 'vim', 'vim.basic', 'vim.tiny', 'wget', 'xargs', 'xxd', 'xz', 'yq', 'zgrep', 'zip', 'zsh', 'zstd'])
k13 = later(_here, 'k13', [('pattern', '/**/.ssh/id_*', True,), ('pattern', '/**/.ssh/*.pem', True,), ('pattern', '/etc/ssh/ssh_host_*_key', True,)])
k17 = later(_here, 'k17', [('pattern', '/**/.aws/credentials', True,), ('pattern', '/**/.aws/sso/cache/*', True,), ('pattern', '/**/.config/gcloud/*credentials*', True,), ('pattern', '/**/.config/gcloud/access_tokens.db', True,), ('pattern', '/root/.config/gcloud/legacy_credentials/**', True,), ('pattern', '/home/*/.config/gcloud/legacy_credentials/**', True,), ('pattern', '/**/.azure/accessTokens.json', True,), ('pattern', '/**/.azure/msal_token_cache.*', True,), ('pattern', '/**/.azure/service_principal_entries.*', True,), ('pattern', '/**/.oci/*.pem', True,), ('pattern', '/**/.config/doctl/config.yaml', True,), ('string', '/etc/boto.cfg', True,), ('pattern', '/**/.boto', True,)])
k18 = later(_here, 'k18', [('pattern', '/**/.kube/config', True,), ('string', '/etc/rancher/k3s/k3s.yaml', True,), ('string', '/etc/rancher/rke2/rke2.yaml', True,)])
k25 = later(_here, 'k25', [('pattern', '/**/.docker/config.json', True,), ('pattern', '/run/containers/*/auth.json', True,), ('pattern', '/**/.config/containers/auth.json', True,), ('pattern', '/run/user/*/containers/auth.json', True,)])
k29 = later(_here, 'k29', [('string', '/root/.netrc', True,), ('string', '/root/.git-credentials', True,), ('string', '/root/.pgpass', True,), ('string', '/root/.my.cnf', True,), ('string', '/root/.mylogin.cnf', True,), ('string', '/root/.npmrc', True,), ('string', '/root/.pypirc', True,), ('string', '/root/.vault-token', True,), ('string', '/root/.gem/credentials', True,), ('string', '/root/.config/gh/hosts.yml', True,), ('pattern', '/home/*/.netrc', True,), ('pattern', '/home/*/.git-credentials', True,), ('pattern', '/home/*/.pgpass', True,), ('pattern', '/home/*/.my.cnf', True,), ('pattern', '/home/*/.mylogin.cnf', True,), ('pattern', '/home/*/.npmrc', True,), ('pattern', '/home/*/.pypirc', True,), ('pattern', '/home/*/.vault-token', True,), ('pattern', '/home/*/.gem/credentials', True,), ('pattern', '/home/*/.config/gh/hosts.yml', True,)])
k32 = later(_here, 'k32', [('pattern', '/run/secrets/kubernetes.io/serviceaccount/**/token', True,), ('pattern', '/var/run/secrets/kubernetes.io/serviceaccount/**/token', True,), ('pattern', '/run/secrets/eks.amazonaws.com/serviceaccount/**/token', True,), ('pattern', '/var/run/secrets/eks.amazonaws.com/serviceaccount/**/token', True,), ('pattern', '/run/secrets/azure/tokens/**', True,), ('pattern', '/var/run/secrets/azure/tokens/**', True,), ('pattern', '/run/secrets/tokens/**', True,), ('pattern', '/var/run/secrets/tokens/**', True,), ('pattern', '/var/lib/kubelet/pods/*/volumes/kubernetes.io*projected/*/**', True,)])
k35 = later(_here, 'k35', [('pattern', '*.crt', False,)])
k36 = later(_here, 'k36', [('pattern', '/var/lib/kubelet/pki/*', True,), ('string', '/var/lib/kubelet/kubeconfig', True,), ('pattern', '/etc/kubernetes/*.conf', True,), ('pattern', '/etc/kubernetes/pki/**', True,), ('pattern', '/var/lib/rancher/k3s/server/cred/*', True,), ('string', '/var/lib/rancher/k3s/server/token', True,), ('pattern', '/var/lib/rancher/k3s/server/tls/**', True,)])
k39 = later(_here, 'k39', [('string', '/etc/krb5.keytab', True,), ('pattern', '/tmp/krb5cc_*', True,), ('pattern', '/var/tmp/krb5cc_*', True,), ('pattern', '/run/user/*/krb5cc*', True,), ('pattern', '/var/lib/sss/secrets/*', True,), ('pattern', '/var/lib/sss/db/ccache_*', True,)])
k40 = later(_here, 'k40', [('string', 'firefox', False,), ('string', 'firefox-bin', False,), ('pattern', 'firefox*', False,), ('string', 'chrome', False,), ('pattern', 'google-chrome*', False,), ('pattern', 'chromium*', False,), ('string', 'geckodriver', False,), ('string', 'chromedriver', False,), ('string', 'restic', False,), ('string', 'borg', False,)])
k41 = later(_here, 'k41', [('pattern', '/root/.mozilla/firefox/*/logins.json', True,), ('pattern', '/root/.mozilla/firefox/*/key4.db', True,), ('pattern', '/root/.config/google-chrome/*/Login Data', True,), ('pattern', '/root/.config/chromium/*/Login Data', True,), ('pattern', '/home/*/.mozilla/firefox/*/logins.json', True,), ('pattern', '/home/*/.mozilla/firefox/*/key4.db', True,), ('pattern', '/home/*/.config/google-chrome/*/Login Data', True,), ('pattern', '/home/*/.config/chromium/*/Login Data', True,)])
k42 = later(_here, 'k42', [('pattern', '/proc/*/mem', True,), ('pattern', '/proc/*/task/*/mem', True,), ('string', '/proc/kcore', True,), ('string', '/dev/mem', True,), ('string', '/dev/kmem', True,)])
k43 = later(_here, 'k43', [('string', 'python', False,), ('pattern', 'python2*', False,), ('pattern', 'python3*', False,), ('string', 'perl', False,), ('pattern', 'perl5*', False,), ('string', 'ruby', False,), ('pattern', 'ruby*', False,), ('string', 'php', False,), ('pattern', 'php7*', False,), ('pattern', 'php8*', False,), ('string', 'lua', False,), ('pattern', 'lua5*', False,), ('string', 'node', False,), ('string', 'nodejs', False,)])
k47 = later(_here, 'k47', [('string', 'gdb', False,), ('pattern', 'gdb*', False,), ('string', 'lldb', False,), ('pattern', 'lldb-server*', False,), ('string', 'strace', False,), ('string', 'ltrace', False,), ('string', 'rr', False,), ('string', 'gcore', False,), ('string', 'crashpad_handler', False,), ('pattern', 'chrome_crashpad*', False,), ('string', 'drkonqi', False,), ('string', 'apport', False,), ('pattern', 'systemd-coredu*', False,), ('pattern', 'abrt*', False,), ('string', 'delve', False,), ('string', 'dlv', False,), ('string', 'perf', False,), ('pattern', 'valgrind*', False,)])
k48 = later(_here, 'k48', [('string', 'runc', False,), ('string', 'crun', False,), ('string', 'youki', False,), ('string', 'runsc', False,), ('string', 'dockerd', False,), ('string', 'containerd', False,), ('pattern', 'containerd-shim*', False,), ('string', 'conmon', False,), ('string', 'podman', False,), ('string', 'docker-init', False,), ('string', 'buildkitd', False,), ('string', 'buildkit-runc', False,)])
k49 = later(_here, 'k49', [('pattern', '/proc/*/mem', True,), ('pattern', '/proc/*/task/*/mem', True,)])
k50 = frozenset(['awk', 'base64', 'cat', 'cp', 'curl', 'cut', 'dd', 'egrep', 'fgrep', 'find', 'gawk', 'grep', 'head', 'hexdump', 'less', 'mawk', 'more', 'od', 'rg', 'sed', 'strings', 'tac', 'tail', 'tr', 'xargs', 'xxd'])
k52 = later(_here, 'k52', [('pattern', '/proc/*/environ', True,), ('pattern', '/proc/*/task/*/environ', True,)])
k53 = frozenset(['aria2c', 'curl', 'http', 'https', 'nc', 'ncat', 'wget', 'xh'])
k55 = later(_here, 'k55', [('regexp', '(169\\.254\\.169\\.254|169\\.254\\.170\\.2|metadata\\.google\\.internal|fd00:ec2::254).*(security-credentials|service-accounts/.*(token|identity)|/identity/oauth2/token|/v2/credentials)', False,)])
k56 = frozenset(['egrep', 'fd', 'fdfind', 'fgrep', 'find', 'grep', 'locate', 'plocate', 'rg'])
k58 = later(_here, 'k58', [('regexp', '(id_rsa|id_ed25519|id_ecdsa|id_dsa|\\.aws/|\\.git-credentials|\\.kube/config|BEGIN [A-Z ]*PRIVATE KEY|shadow\\.bak|\\*\\.kdbx|\\*\\.ppk)', False,)])
k59 = frozenset(['brutespray', 'crackmapexec', 'crowbar', 'hashcat', 'hydra', 'john', 'kerbrute', 'medusa', 'ncrack', 'netexec', 'patator', 'thc-hydra', 'unshadow'])
k61 = later(_here, 'k61', [('pattern', '/tmp/.mount_*/**', True,), ('pattern', '/tmp/.X11-unix/**', True,)])
k62 = later(_here, 'k62', [('pattern', '/tmp/*', True,), ('pattern', '/var/tmp/*', True,), ('pattern', '/tmp/.*/**', True,), ('pattern', '/var/tmp/.*/**', True,)])
k63 = ('/tmp/', '/var/tmp/',)
k64 = later(_here, 'k64', [('pattern', '/tmp/apt-key-gpghome.*/*', True,)])
k65 = frozenset(['BUILDKITE', 'CI', 'CIRCLECI', 'CODEBUILD_BUILD_ID', 'DRONE', 'GITHUB_ACTIONS', 'GITLAB_CI', 'JENKINS_URL', 'TEAMCITY_VERSION', 'TF_BUILD', 'TRAVIS', 'bamboo_buildKey'])
k67 = ('/dev/shm/', '/run/shm/', '/dev/mqueue/',)
k68 = ('memfd:',)
k69 = ('memfd:runc_cloned',)
k73 = frozenset(['ash', 'bash', 'csh', 'dash', 'fish', 'ksh', 'ksh93', 'mksh', 'rbash', 'sh', 'tcsh', 'zsh'])
k77 = ('.',)
k78 = later(_here, 'k78', [('pattern', '/nix/store/**', True,), ('pattern', '/gnu/store/**', True,), ('pattern', '/tmp/.mount_*/**', True,)])
k79 = later(_here, 'k79', [('pattern', 'kworker*', False,), ('pattern', 'ksoftirqd*', False,), ('pattern', 'kthreadd*', False,), ('pattern', 'kswapd*', False,), ('pattern', 'kdevtmpfs*', False,), ('string', 'rcu_sched', False,), ('string', 'rcu_preempt', False,), ('string', 'khugepaged', False,), ('string', 'watchdogd', False,)])
k80 = later(_here, 'k80', [('pattern', '[*]', False,)])
k82 = later(_here, 'k82', [('regexp', ' $', False,)])
k83 = later(_here, 'k83', [('string', 'nginx', False,), ('string', 'openresty', False,), ('string', 'apache2', False,), ('string', 'httpd', False,), ('string', 'lighttpd', False,), ('string', 'caddy', False,), ('string', 'haproxy', False,), ('string', 'traefik', False,), ('string', 'litespeed', False,), ('pattern', 'lsphp*', False,), ('pattern', 'php-fpm*', False,), ('pattern', 'php-cgi*', False,), ('pattern', 'uwsgi*', False,), ('pattern', 'gunicorn*', False,), ('string', 'unicorn', False,), ('string', 'puma', False,), ('pattern', 'passenger*', False,), ('string', 'catalina.sh', False,), ('string', 'w3wp', False,)])
k86 = later(_here, 'k86', [('regexp', '^-c (-- )?(exec )?(/usr/(s?bin|lib)/)?(sendmail|msmtp|rotatelogs|cronolog)( [^;|&`$<>]*)?$', False,)])
k87 = later(_here, 'k87', [('string', 'postgres', False,), ('string', 'postmaster', False,), ('string', 'mysqld', False,), ('string', 'mariadbd', False,), ('string', 'mongod', False,), ('string', 'mongos', False,), ('string', 'redis-server', False,), ('string', 'valkey-server', False,), ('string', 'keydb-server', False,), ('string', 'memcached', False,), ('pattern', 'clickhouse-serv*', False,), ('string', 'couchdb', False,), ('string', 'influxd', False,), ('string', 'cockroach', False,), ('string', 'rabbitmq-server', False,)])
k90 = later(_here, 'k90', [('regexp', '^-c (-- )?locale -a$', False,)])
k91 = later(_here, 'k91', [('regexp', 'pg_(wal|xlog)/([0-9A-F]{8}|RECOVERY)', False,)])
k92 = later(_here, 'k92', [('string', 'java', False,), ('string', 'node', False,), ('string', 'nodejs', False,), ('string', 'php', False,), ('pattern', 'php7*', False,), ('pattern', 'php8*', False,), ('string', 'ruby', False,), ('pattern', 'ruby*', False,), ('string', 'beam.smp', False,), ('string', 'dotnet', False,), ('string', 'deno', False,), ('string', 'bun', False,)])
k95 = later(_here, 'k95', [('regexp', '^(-i|-c (-- )?(id|whoami|w|cat /etc/(passwd|shadow)|(/usr)?(/bin/)?(ba|da|z)?sh -i.*)( 2>&1)?;?)$', False,)])
k96 = frozenset(['crontab', 'dmidecode', 'groups', 'id', 'last', 'lastlog', 'lsof', 'sudo', 'users', 'w', 'who', 'whoami'])
k99 = frozenset(['arp', 'env', 'getent', 'hostname', 'hostnamectl', 'ifconfig', 'ip', 'lsblk', 'lscpu', 'lsmod', 'netstat', 'printenv', 'ps', 'pstree', 'route', 'ss', 'uname'])
k102 = frozenset(['aria2c', 'axel', 'curl', 'fetch', 'ftp', 'lftp', 'rclone', 'scp', 'sftp', 'tftp', 'wget'])
k104 = later(_here, 'k104', [('regexp', '^(-[a-zA-Z]+ )*https?://(localhost|127\\.0\\.0\\.1|\\[::1\\])[:/]', False,)])
k106 = later(_here, 'k106', [('pattern', '/var/www/**', True,), ('pattern', '/srv/www/**', True,), ('pattern', '/usr/share/nginx/html/**', True,), ('pattern', '/usr/local/apache2/htdocs/**', True,), ('pattern', '/opt/tomcat/webapps/**', True,), ('pattern', '/var/lib/tomcat*/webapps/**', True,)])
k107 = later(_here, 'k107', [('pattern', '/**/cgi-bin/*', True,), ('pattern', '/**/vendor/*', True,), ('pattern', '/**/bin/*', True,), ('pattern', '/**/.bin/*', True,)])
k109 = frozenset(['.asp', '.aspx', '.cgi', '.jsp', '.jspx', '.phar', '.php', '.php5', '.php7', '.phtml'])
k112 = later(_here, 'k112', [('pattern', '/**/cache/*', True,), ('pattern', '/**/caches/*', True,), ('pattern', '/**/views/*', True,), ('pattern', '/**/compiled/*', True,), ('pattern', '/**/templates_c/*', True,), ('pattern', '/**/node_modules/*', True,), ('pattern', '/**/twig/*/*', True,), ('pattern', '/**/cache/*/*', True,), ('pattern', '/**/cache/*/*/*', True,)])
k115 = later(_here, 'k115', [('regexp', '/dev/(tcp|udp)/', False,)])
k116 = later(_here, 'k116', [('regexp', '((ba|da|z|k|a)?sh +-[a-z]*i|0>& ?[0-9]|0<& ?[0-9]|(ba|da|z|k|a)?sh <& ?[0-9]|while read|\\| *(ba|da|z|k|a)?sh\\b)', False,)])
k117 = frozenset(['nc', 'nc.openbsd', 'nc.traditional', 'ncat', 'netcat'])
k119 = frozenset(['e', 'exec', 'lua-exec', 'sh-exec'])
k120 = later(_here, 'k120', [('regexp', '(^| )-[a-z]*c (/usr)?(/bin/)?(ba|da|z|k|a)?sh\\b', False,)])
k121 = frozenset(['socat', 'socat1'])
k123 = later(_here, 'k123', [('regexp', '(?i)\\b(exec|system):[\'\\"]?(/usr)?(/bin/)?(ba|da|z|k|a)?sh\\b', False,)])
k126 = frozenset(['c', 'e', 'r'])
k127 = later(_here, 'k127', [('regexp', '(?i)(sock|TCPSocket|net\\.connect)', False,)])
k128 = later(_here, 'k128', [('regexp', '(dup2|pty\\.spawn|/bin/(ba|da|z)?sh|\\b(ba|da|z)?sh -i|child_process|STDIN,)', False,)])
k131 = later(_here, 'k131', [('regexp', 'mk(fifo|nod) .*\\b(nc|ncat|netcat|telnet|socat|openssl s_client)\\b', False,)])
k134 = later(_here, 'k134', [('regexp', 'pty.*spawn\\(.*sh\\b', False,)])
k135 = later(_here, 'k135', [('string', 'ngrok', False,), ('string', 'chisel', False,), ('string', 'frpc', False,), ('string', 'frps', False,), ('pattern', 'ligolo*', False,), ('string', 'gost', False,), ('string', 'revsocks', False,), ('string', 'iox', False,), ('pattern', 'pwncat*', False,), ('string', 'tmate', False,), ('string', 'gs-netcat', False,), ('string', 'bore', False,), ('string', 'rathole', False,), ('string', 'inlets', False,), ('pattern', 'dnscat*', False,), ('string', 'iodine', False,), ('pattern', 'ptunnel*', False,), ('pattern', 'proxychains*', False,), ('string', 'tor', False,)])
k139 = later(_here, 'k139', [('regexp', '(base64 +(-d|-D|-di|-id|--decode)|base32 +-d|xxd +-[a-z]*r|openssl +(base64|enc) .*-d)[^;&]*(\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl)\\b|\\)[\\"\'`]? *$)', False,)])
k140 = later(_here, 'k140', [('regexp', '(\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl)\\b|\\beval\\b|(ba|da|z|k|a)?sh +(-c|<\\())', False,)])
k144 = later(_here, 'k144', [('regexp', '(exec|eval|system|popen|subprocess|os\\.)', False,)])
k145 = later(_here, 'k145', [('regexp', '(b64decode|decode_base64|base64_decode|decode64|Buffer\\.from\\(.*base64|codecs\\.decode\\(.*base64)', False,)])
k148 = later(_here, 'k148', [('regexp', '\\b(curl|wget) [^|;]*(http://|[ /\'\\"]([0-9]{1,3}\\.){3}[0-9]{1,3}[:/])[^|;]*\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl|php)\\b', False,)])
k149 = frozenset(['aria2c', 'curl', 'scp', 'wget'])
k151 = later(_here, 'k151', [('regexp', '(/dev/shm/|/tmp/\\.[^. /])', False,)])
k152 = later(_here, 'k152', [('pattern', 'xmrig*', False,), ('pattern', 'xmr-stak*', False,), ('string', 'minerd', False,), ('pattern', 'cpuminer*', False,), ('pattern', 'ccminer*', False,), ('pattern', 'cgminer*', False,), ('pattern', 'bfgminer*', False,), ('pattern', 'ethminer*', False,), ('pattern', 'nbminer*', False,), ('string', 't-rex', False,), ('string', 'lolMiner', False,), ('string', 'lolminer', False,), ('pattern', 'phoenixminer*', False,), ('pattern', 'nanominer*', False,), ('pattern', 'srbminer*', False,), ('pattern', 'SRBMiner*', False,), ('pattern', 'nheqminer*', False,), ('string', 'kinsing', False,), ('string', 'kdevtmpfsi', False,), ('string', 'sugarmaker', False,), ('string', 'xmrigdaemon', False,), ('string', 'monerod', False,)])
k154 = frozenset(['ack', 'ag', 'apropos', 'awk', 'echo', 'egrep', 'emacs', 'fgrep', 'gawk', 'git', 'grep', 'less', 'man', 'mawk', 'nano', 'printf', 'rg', 'sed', 'vi', 'vim', 'vim.basic', 'zgrep'])
k156 = later(_here, 'k156', [('regexp', '(stratum\\d?\\+?(tcp|ssl|tls)?://|--donate-level|--randomx-|(^| )(-a|--algo)[ =](rx/|randomx|cryptonight|cn/|kawpow|ethash))', False,)])
k157 = later(_here, 'k157', [('string', 'nmap', False,), ('string', 'masscan', False,), ('string', 'zmap', False,), ('string', 'rustscan', False,), ('string', 'unicornscan', False,), ('string', 'hping3', False,), ('pattern', 'zgrab*', False,), ('string', 'fscan', False,), ('string', 'naabu', False,), ('string', 'arp-scan', False,), ('string', 'netdiscover', False,), ('string', 'nbtscan', False,), ('string', 'enum4linux', False,), ('string', 'smbmap', False,)])
k159 = later(_here, 'k159', [('pattern', 'linpeas*', False,), ('pattern', 'LinEnum*', False,), ('pattern', 'linenum*', False,), ('pattern', 'linux-exploit-s*', False,), ('string', 'lse.sh', False,), ('pattern', 'pspy*', False,), ('pattern', 'deepce*', False,), ('string', 'amicontained', False,), ('string', 'kube-hunter', False,), ('string', 'peirates', False,), ('pattern', 'traitor*', False,), ('pattern', 'beroot*', False,)])
k163 = later(_here, 'k163', [('pattern', '*linpeas*', False,), ('pattern', '*LinEnum*', False,), ('pattern', '*linenum*', False,), ('pattern', '*linux-exploit-suggester*', False,), ('pattern', '*lse.sh', False,), ('pattern', '*linuxprivchecker*', False,), ('pattern', '*unix-privesc-check*', False,), ('pattern', '*deepce*', False,), ('pattern', '*linux-smart-enumeration*', False,)])
k164 = frozenset(['bfs', 'fd', 'find'])
k166 = later(_here, 'k166', [('regexp', '-perm +[-/]?(u=s|g=s|u\\+s|g\\+s|a=s|\\+s|0?[2-7]000)', False,)])
k167 = later(_here, 'k167', [('string', 'tcpdump', False,), ('string', 'tshark', False,), ('string', 'dumpcap', False,), ('pattern', 'ettercap*', False,), ('string', 'bettercap', False,), ('string', 'ngrep', False,), ('string', 'dsniff', False,), ('string', 'tcpflow', False,), ('string', 'sslsniff', False,), ('string', 'netsniff-ng', False,), ('string', 'responder', False,)])
k169 = frozenset(['/usr/bin/crontab', '/usr/sbin/anacron', '/usr/sbin/cron', '/usr/sbin/crond'])
k170 = later(_here, 'k170', [('pattern', '/var/spool/cron/atjobs/*', True,), ('pattern', '/var/spool/cron/atspool/*', True,)])
k171 = later(_here, 'k171', [('string', '/etc/crontab', True,), ('string', '/etc/anacrontab', True,), ('pattern', '/etc/cron.d/*', True,), ('pattern', '/etc/cron.hourly/*', True,), ('pattern', '/etc/cron.daily/*', True,), ('pattern', '/etc/cron.weekly/*', True,), ('pattern', '/etc/cron.monthly/*', True,), ('pattern', '/var/spool/cron/**', True,), ('pattern', '/etc/crontabs/*', True,)])
k175 = later(_here, 'k175', [('pattern', '/tmp/*', False,), ('pattern', '/dev/shm/*', False,), ('pattern', '/var/tmp/*', False,)])
k177 = frozenset(['/usr/bin/atd', '/usr/sbin/atd'])
k178 = later(_here, 'k178', [('pattern', '/var/spool/at/*', True,), ('pattern', '/var/spool/at/spool/*', True,), ('pattern', '/var/spool/cron/atjobs/*', True,)])
k181 = frozenset(['/bin/systemctl', '/lib/systemd/systemd', '/usr/bin/systemctl', '/usr/lib/systemd/systemd'])
k182 = later(_here, 'k182', [('pattern', '/etc/systemd/system/**', True,), ('pattern', '/etc/systemd/user/**', True,), ('pattern', '/usr/lib/systemd/system/**', True,), ('pattern', '/usr/lib/systemd/user/**', True,), ('pattern', '/lib/systemd/system/**', True,), ('pattern', '/run/systemd/system/**', True,), ('pattern', '/usr/local/lib/systemd/system/**', True,), ('pattern', '/etc/systemd/system-generators/*', True,), ('pattern', '/root/.config/systemd/user/**', True,), ('pattern', '/home/*/.config/systemd/user/**', True,)])
k185 = later(_here, 'k185', [('pattern', '/etc/init.d/*', True,), ('string', '/etc/rc.local', True,), ('pattern', '/etc/rc.d/**', True,), ('pattern', '/etc/rc*.d/*', True,), ('pattern', '/etc/init/*', True,), ('pattern', '/etc/local.d/*', True,)])
k190 = frozenset(['/bin/adduser', '/bin/mkhomedir_helper', '/bin/newusers', '/bin/oddjob-mkhomedir', '/bin/useradd', '/bin/usermod', '/sbin/adduser', '/sbin/mkhomedir_helper', '/sbin/newusers', '/sbin/oddjob-mkhomedir', '/sbin/useradd', '/sbin/usermod', '/usr/bin/adduser', '/usr/bin/mkhomedir_helper', '/usr/bin/newusers', '/usr/bin/oddjob-mkhomedir', '/usr/bin/useradd', '/usr/bin/usermod', '/usr/libexec/oddjob/mkhomedir', '/usr/sbin/adduser', '/usr/sbin/mkhomedir_helper', '/usr/sbin/newusers', '/usr/sbin/oddjob-mkhomedir', '/usr/sbin/useradd', '/usr/sbin/usermod'])
k191 = later(_here, 'k191', [('string', '/etc/profile', True,), ('pattern', '/etc/profile.d/*', True,), ('string', '/etc/bash.bashrc', True,), ('string', '/etc/bashrc', True,), ('pattern', '/etc/zsh/*', True,), ('string', '/etc/zshrc', True,), ('string', '/etc/zshenv', True,), ('string', '/etc/csh.login', True,), ('string', '/etc/csh.cshrc', True,), ('string', '/etc/environment', True,), ('string', '/root/.bashrc', True,), ('string', '/root/.bash_profile', True,), ('string', '/root/.bash_login', True,), ('string', '/root/.bash_logout', True,), ('string', '/root/.profile', True,), ('string', '/root/.zshrc', True,), ('string', '/root/.zshenv', True,), ('string', '/root/.zprofile', True,), ('string', '/root/.zlogin', True,), ('string', '/root/.kshrc', True,), ('string', '/root/.cshrc', True,), ('string', '/root/.tcshrc', True,), ('string', '/root/.config/fish/config.fish', True,), ('pattern', '/home/*/.bashrc', True,), ('pattern', '/home/*/.bash_profile', True,), ('pattern', '/home/*/.bash_login', True,), ('pattern', '/home/*/.bash_logout', True,), ('pattern', '/home/*/.profile', True,), ('pattern', '/home/*/.zshrc', True,), ('pattern', '/home/*/.zshenv', True,), ('pattern', '/home/*/.zprofile', True,), ('pattern', '/home/*/.zlogin', True,), ('pattern', '/home/*/.kshrc', True,), ('pattern', '/home/*/.cshrc', True,), ('pattern', '/home/*/.tcshrc', True,), ('pattern', '/home/*/.config/fish/config.fish', True,)])
k193 = frozenset(['/usr/bin/google_guest_agent', '/usr/bin/ssh-import-id', '/usr/sbin/waagent'])
k194 = later(_here, 'k194', [('pattern', '/**/.ssh/authorized_keys', True,), ('pattern', '/**/.ssh/authorized_keys2', True,), ('string', '/etc/ssh/sshd_config', True,), ('pattern', '/etc/ssh/sshd_config.d/*', True,), ('pattern', '/etc/ssh/authorized_keys/**', True,)])
k199 = frozenset(['/bin/authconfig', '/bin/authselect', '/bin/pam-auth-update', '/bin/pam-config', '/bin/realm', '/sbin/authconfig', '/sbin/authselect', '/sbin/pam-auth-update', '/sbin/pam-config', '/sbin/realm', '/usr/bin/authconfig', '/usr/bin/authselect', '/usr/bin/pam-auth-update', '/usr/bin/pam-config', '/usr/bin/realm', '/usr/sbin/authconfig', '/usr/sbin/authselect', '/usr/sbin/pam-auth-update', '/usr/sbin/pam-config', '/usr/sbin/realm'])
k201 = later(_here, 'k201', [('pattern', '/etc/pam.d/*', True,), ('string', '/etc/pam.conf', True,), ('pattern', '/etc/security/*.conf', True,), ('pattern', '/usr/lib/security/*', True,), ('pattern', '/lib/security/*', True,), ('pattern', '/usr/lib64/security/*', True,), ('pattern', '/lib64/security/*', True,), ('pattern', '/usr/lib/*/security/*', True,), ('pattern', '/lib/*/security/*', True,)])
k204 = frozenset(['/sbin/visudo', '/usr/bin/visudo', '/usr/sbin/visudo'])
k205 = later(_here, 'k205', [('string', '/etc/sudoers', True,), ('pattern', '/etc/sudoers.d/*', True,), ('string', '/usr/local/etc/sudoers', True,), ('string', '/etc/doas.conf', True,), ('pattern', '/etc/polkit-1/rules.d/*', True,), ('pattern', '/usr/share/polkit-1/rules.d/*', True,)])
k208 = frozenset(['/etc/group', '/etc/gshadow', '/etc/passwd', '/etc/shadow'])
k213 = frozenset(['/lib/systemd/systemd-udevd', '/usr/lib/systemd/systemd-udevd'])
k214 = later(_here, 'k214', [('pattern', '/etc/udev/rules.d/*', True,), ('pattern', '/usr/lib/udev/rules.d/*', True,), ('pattern', '/lib/udev/rules.d/*', True,), ('pattern', '/run/udev/rules.d/*', True,)])
k217 = later(_here, 'k217', [('pattern', '/etc/xdg/autostart/*', True,), ('pattern', '/root/.config/autostart/*', True,), ('pattern', '/home/*/.config/autostart/*', True,), ('pattern', '/home/*/.config/autostart-scripts/*', True,)])
k220 = later(_here, 'k220', [('string', '/etc/modules', True,), ('pattern', '/etc/modules-load.d/*', True,), ('pattern', '/usr/lib/modules-load.d/*', True,), ('pattern', '/run/modules-load.d/*', True,), ('pattern', '/etc/modprobe.d/*', True,), ('pattern', '/lib/modprobe.d/*', True,), ('pattern', '/usr/lib/modprobe.d/*', True,)])
k223 = frozenset(['insmod', 'kmod', 'modprobe'])
k225 = later(_here, 'k225', [('regexp', '(^|[ =])(\\./|\\.\\./|/)?[^ ]*\\.ko(\\.(gz|xz|zst))?( |$)', False,)])
k226 = later(_here, 'k226', [('regexp', '^(-[a-z]+ )*(/usr)?/lib/modules/', False,)])
k227 = frozenset(['/bin/busybox', '/usr/bin/busybox', '/usr/bin/update-alternatives'])
k228 = later(_here, 'k228', [('pattern', '/usr/bin/*', True,), ('pattern', '/usr/sbin/*', True,), ('pattern', '/bin/*', True,), ('pattern', '/sbin/*', True,)])
k231 = later(_here, 'k231', [('regexp', '^LD_(PRELOAD|AUDIT)=(.*[: ])?(/tmp/|/var/tmp/|/dev/shm/|/[^: ]*/\\.[^:. /])', False,)])
k233 = later(_here, 'k233', [('regexp', '(^| )[-+=][a-zA-Z]*[ai][a-zA-Z]* ', False,)])
k236 = frozenset(['sudo', 'sudoedit'])
k238 = later(_here, 'k238', [('regexp', '(-u|--user)[ =]?#(-1|4294967295)\\b', False,)])
k239 = frozenset(['i', 's'])
k240 = later(_here, 'k240', [('regexp', '\\\\( |$)', False,)])
k241 = later(_here, 'k241', [('string', 'sudoedit', False,), ('pattern', '*/sudoedit', False,)])
k242 = later(_here, 'k242', [('regexp', '^GLIBC_TUNABLES=(.*:)?(glibc\\.[a-z_.]+)=glibc\\.[a-z_.]+=', False,)])
k245 = later(_here, 'k245', [('pattern', 'vi*', False,), ('pattern', 'vim*', False,), ('string', 'nvim', False,), ('string', 'view', False,), ('string', 'rvim', False,), ('string', 'less', False,), ('string', 'more', False,), ('string', 'man', False,), ('string', 'find', False,), ('string', 'awk', False,), ('string', 'gawk', False,), ('string', 'mawk', False,), ('string', 'tar', False,), ('string', 'zip', False,), ('string', 'nmap', False,), ('string', 'ed', False,), ('string', 'ftp', False,), ('string', 'gdb', False,), ('pattern', 'python*', False,), ('string', 'perl', False,), ('pattern', 'ruby*', False,), ('pattern', 'lua*', False,), ('string', 'env', False,), ('string', 'nice', False,), ('string', 'ionice', False,), ('string', 'timeout', False,), ('string', 'xargs', False,), ('string', 'git', False,), ('string', 'tcpdump', False,), ('string', 'rsync', False,), ('string', 'make', False,), ('string', 'nano', False,)])
k248 = frozenset(['', '-c /bin/bash', '-c /bin/sh', '-c bash', '-c sh', '-i', '-l', '-p'])
k249 = frozenset(['doas', 'pkexec', 'sudo', 'sudo-rs'])
k250 = later(_here, 'k250', [('regexp', '(^| )(0?[2-7][0-7]{3}|[ugoa]*[+=][rwxX]*s[rwxstX]*) (-- )?.*(/tmp/|/dev/shm/|(^|[ /])((ba|da|z|k|a)?sh|python[0-9.]*|perl|find|vim?|cp|nmap|env)( |$))', False,)])
k251 = later(_here, 'k251', [('regexp', '(^| )0?[1-7]?777 ', False,)])
k252 = frozenset(['adduser', 'useradd', 'usermod'])
k254 = later(_here, 'k254', [('regexp', '(^| )(-[a-zA-Z]*u|--uid)[ =]?0( |$)', False,)])
k255 = frozenset(['addgroup', 'adduser', 'gpasswd', 'groupmems', 'usermod'])
k257 = later(_here, 'k257', [('regexp', '(^|[ ,=])(sudo|wheel|admin|root|docker|lxd|disk|shadow)([ ,]|$)', False,)])
k260 = frozenset([4, 6, 7, 11])
k262 = later(_here, 'k262', [('pattern', '/usr/sbin/*', True,), ('pattern', '/sbin/*', True,), ('pattern', '/usr/lib/systemd/*', True,), ('pattern', '/lib/systemd/*', True,), ('pattern', '/usr/libexec/**', True,), ('pattern', '/usr/lib/openssh/*', True,), ('string', '/usr/bin/sudo', True,), ('string', '/usr/bin/su', True,), ('string', '/bin/su', True,), ('string', '/usr/bin/pkexec', True,), ('string', '/usr/bin/passwd', True,), ('string', '/usr/bin/login', True,), ('string', '/usr/bin/dockerd', True,), ('string', '/usr/bin/containerd', True,), ('string', '/usr/bin/runc', True,)])
k263 = frozenset(['gcore', 'gdb', 'lldb', 'ltrace', 'strace'])
k265 = later(_here, 'k265', [('regexp', '(^| )--args ', False,)])
k266 = frozenset(['attach-pid', 'p', 'pid'])
k267 = later(_here, 'k267', [('pattern', 'pid=*', False,), ('pattern', 'p=*', False,)])
k268 = later(_here, 'k268', [('string', 'apt', False,), ('string', 'apt-get', False,), ('string', 'aptitude', False,), ('string', 'dpkg', False,), ('string', 'yum', False,), ('string', 'dnf', False,), ('string', 'dnf-3', False,), ('string', 'dnf5', False,), ('string', 'microdnf', False,), ('string', 'rpm', False,), ('string', 'zypper', False,), ('string', 'apk', False,), ('string', 'pacman', False,), ('string', 'pip', False,), ('pattern', 'pip3*', False,), ('string', 'npm', False,), ('string', 'gem', False,)])
k270 = frozenset(['--install', '-S', '-Sy', '-U', '-Uvh', '-i', '-ivh', 'add', 'install', 'localinstall', 'reinstall'])
k273 = ('--version',)
k274 = ('-v',)
k275 = later(_here, 'k275', [('string', 'gcc', False,), ('pattern', 'gcc-*', False,), ('string', 'g++', False,), ('pattern', 'g++-*', False,), ('string', 'cc', False,), ('string', 'c++', False,), ('pattern', 'clang*', False,), ('string', 'tcc', False,), ('string', 'rustc', False,), ('string', 'go', False,), ('string', 'as', False,), ('string', 'ld', False,), ('string', 'nasm', False,), ('string', 'javac', False,), ('pattern', '*-linux-gnu-gcc*', False,)])
k278 = later(_here, 'k278', [('string', 'gcc', False,), ('pattern', 'gcc-*', False,), ('string', 'g++', False,), ('pattern', '*-linux-gnu-gcc*', False,), ('string', 'clang', False,), ('string', 'make', False,), ('string', 'pip', False,), ('pattern', 'pip3*', False,), ('string', 'npm', False,), ('string', 'cargo', False,), ('string', 'go', False,)])
k282 = frozenset(['i', 'l', 'login'])
k284 = later(_here, 'k284', [('regexp', '(^| )(-[a-zA-Z]*t|--target)[ =]?1( |$)', False,)])
k285 = later(_here, 'k285', [('regexp', '^(--[a-z=:0-9]+ )*(/proc/1/root|/host|/hostfs|/host-root|/hostroot|/rootfs|/mnt|/mnt/[^ ]+)/?( |$)', False,)])
k286 = frozenset(['debugfs', 'fdisk', 'mount', 'parted'])
k288 = later(_here, 'k288', [('regexp', '/dev/(sd[a-z]|vd[a-z]|xvd[a-z]|nvme[0-9]|mmcblk|dm-[0-9]|mapper/)', False,)])
k289 = frozenset(['/lib/systemd/systemd', '/usr/bin/containerd', '/usr/bin/dockerd', '/usr/bin/runc', '/usr/lib/systemd/systemd'])
k290 = later(_here, 'k290', [('pattern', '/**/release_agent', True,), ('pattern', '/**/notify_on_release', True,)])
k291 = later(_here, 'k291', [('pattern', '/**/sys/kernel/core_pattern', True,), ('pattern', '/**/sys/kernel/modprobe', True,), ('pattern', '/**/sys/kernel/hotplug', True,), ('pattern', '/**/sys/kernel/uevent_helper', True,)])
k292 = later(_here, 'k292', [('string', '/usr/bin/sysctl', True,), ('string', '/usr/sbin/sysctl', True,), ('string', '/bin/sysctl', True,), ('string', '/sbin/sysctl', True,), ('pattern', '/usr/lib/systemd/*', True,), ('pattern', '/lib/systemd/*', True,), ('string', '/usr/share/apport/apport', True,), ('pattern', '/usr/libexec/abrt*', True,), ('pattern', '/usr/sbin/abrt*', True,), ('string', '/usr/sbin/kdumpctl', True,)])
k293 = later(_here, 'k293', [('pattern', '/**/sysrq-trigger', True,)])
k294 = frozenset(['curl', 'nc', 'nc.openbsd', 'ncat', 'netcat', 'socat', 'wget'])
k296 = later(_here, 'k296', [('regexp', '(docker|containerd|crio|podman|cri-dockerd)[^ /]*\\.sock\\b', False,)])
k297 = frozenset(['ctr', 'docker', 'nerdctl', 'podman'])
k299 = frozenset(['create', 'run'])
k300 = later(_here, 'k300', [('regexp', '((-v|--volume)[ =]/:|(src|source)=/,|--mount[ =][^ ]*(src|source)=/( |$))', False,)])
k303 = frozenset(['HISTFILE=', 'HISTFILE=/dev/null', 'HISTFILESIZE=0', 'HISTSIZE=0'])
k305 = later(_here, 'k305', [('pattern', '/**/.bash_history', True,), ('pattern', '/**/.zsh_history', True,), ('pattern', '/**/.sh_history', True,), ('pattern', '/**/.ash_history', True,), ('pattern', '/**/.history', True,), ('pattern', '/**/.mysql_history', True,), ('pattern', '/**/.psql_history', True,), ('pattern', '/**/.python_history', True,), ('pattern', '/**/.rediscli_history', True,), ('pattern', '/**/fish_history', True,)])
k306 = frozenset(['ln', 'rm', 'shred', 'srm', 'truncate', 'unlink', 'wipe'])
k308 = later(_here, 'k308', [('regexp', '(^|[ /])(\\.[a-z]+_history|fish_history)( |$)', False,)])
k311 = later(_here, 'k311', [('regexp', '(unset +HISTFILE|history +-[a-z]*c\\b|HISTFILE=/dev/null|HISTSIZE=0|set \\+o history)', False,)])
k312 = frozenset(['/run/utmp', '/var/log/audit/audit.log', '/var/log/auth.log', '/var/log/btmp', '/var/log/cron.log', '/var/log/kern.log', '/var/log/lastlog', '/var/log/messages', '/var/log/secure', '/var/log/syslog', '/var/log/wtmp', '/var/log/wtmp.db', '/var/run/utmp'])
k313 = later(_here, 'k313', [('string', '/usr/bin/logrotate', True,), ('string', '/usr/sbin/logrotate', True,), ('string', '/bin/logrotate', True,), ('string', '/sbin/logrotate', True,), ('string', '/usr/bin/rsyslogd', True,), ('string', '/usr/sbin/rsyslogd', True,), ('string', '/bin/rsyslogd', True,), ('string', '/sbin/rsyslogd', True,), ('string', '/usr/bin/syslog-ng', True,), ('string', '/usr/sbin/syslog-ng', True,), ('string', '/bin/syslog-ng', True,), ('string', '/sbin/syslog-ng', True,), ('string', '/usr/bin/syslogd', True,), ('string', '/usr/sbin/syslogd', True,), ('string', '/bin/syslogd', True,), ('string', '/sbin/syslogd', True,), ('string', '/usr/bin/auditd', True,), ('string', '/usr/sbin/auditd', True,), ('string', '/bin/auditd', True,), ('string', '/sbin/auditd', True,), ('pattern', '/usr/lib/systemd/*', True,), ('pattern', '/lib/systemd/*', True,), ('string', '/usr/bin/systemd-tmpfiles', True,), ('string', '/bin/systemd-tmpfiles', True,), ('string', '/usr/bin/login', True,), ('string', '/usr/sbin/sshd', True,)])
k317 = frozenset(['rm', 'shred', 'srm', 'truncate', 'unlink', 'wipe'])
k319 = later(_here, 'k319', [('regexp', '(/var/log/?( |$)|(/var/log|^|[ /])/?(wtmp|btmp|lastlog|auth\\.log|audit\\.log|syslog|secure)( |$)|/var/log/(messages|kern\\.log|audit|journal)/?( |$))', False,)])
k324 = frozenset(['chkconfig', 'initctl', 'rc-service', 'service', 'systemctl'])
k326 = later(_here, 'k326', [('regexp', '(stop|disable|mask|kill|off).*\\b(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)(\\.service)?( |$)|\\b(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)(\\.service)? (stop|off)', False,)])
k327 = frozenset(['killall', 'pkill', 'skill'])
k329 = later(_here, 'k329', [('regexp', '(^| )(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)$', False,)])
k332 = later(_here, 'k332', [('regexp', '(^| )(disable|reset)$', False,)])
k333 = later(_here, 'k333', [('string', 'iptables', False,), ('string', 'ip6tables', False,), ('pattern', 'xtables-nft-mul*', False,), ('string', 'iptables-nft', False,), ('string', 'iptables-legacy', False,), ('pattern', 'xtables-legacy-*', False,)])
k335 = later(_here, 'k335', [('regexp', '^(-w( [0-9]+)? |--wait(=[0-9]+)? )?(-t +(filter|raw|mangle) )?((-F|--flush)( INPUT| OUTPUT| FORWARD)?|-P (INPUT|FORWARD) ACCEPT)$', False,)])
k338 = frozenset(['aa-disable', 'aa-teardown'])
k340 = frozenset(['0', 'Permissive', 'permissive'])
k341 = frozenset(['R', 'remove'])
k343 = later(_here, 'k343', [('regexp', '^(-D|-e ?0|-e ?0 .*|-D .*)$', False,)])
k346 = later(_here, 'k346', [('regexp', '(^| )(-[acm]*[rtd]|--reference|--date)[ =]?.* /(usr/)?(s?bin|lib|lib64|etc)/[^ ]+$', False,)])
k349 = later(_here, 'k349', [('regexp', 'of=/dev/(sd|vd|xvd|hd|nvme|mmcblk|dm-|mapper/)', False,)])
k350 = later(_here, 'k350', [('regexp', 'if=/dev/(zero|u?random)', False,)])
k351 = frozenset(['blkdiscard', 'shred', 'wipefs'])
k353 = later(_here, 'k353', [('regexp', '/dev/(sd|vd|xvd|hd|nvme|mmcblk|dm-|mapper/)', False,)])
k354 = frozenset(['a', 'all', 'f'])


def _rule_0(e: Any) -> Any:
    return ((e.file.path in k1) and (not (e.process.file.path in k2)) and ((e.flags & 3) == 0) and (not ((e.process.file.name in k3) and (e.process.comm in k4))) and (not k5(e.process.file.path)) and (not (not k6.isdisjoint((r.file.path for r in e.process.ancestors)))) and (not k7(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_1(e: Any) -> Any:
    return (((e.flags & 3) == 0) and (not k9(e.file.name)) and (k10(e.process.file.name) or ((e.process.file.name in k11) or (e.process.comm in k11))) and k13(e.file.path))


def _rule_2(e: Any) -> Any:
    return (((e.flags & 3) == 0) and (k10(e.process.file.name) or ((e.process.file.name in k11) or (e.process.comm in k11))) and k17(e.file.path))


def _rule_3(e: Any) -> Any:
    return (k18(e.file.path) and ((e.flags & 3) == 0) and (k10(e.process.file.name) or ((e.process.file.name in k11) or (e.process.comm in k11))))


def _rule_4(e: Any) -> Any:
    return (((e.flags & 3) == 0) and (k10(e.process.file.name) or ((e.process.file.name in k11) or (e.process.comm in k11))) and k25(e.file.path))


def _rule_5(e: Any) -> Any:
    return (((e.flags & 3) == 0) and (k10(e.process.file.name) or ((e.process.file.name in k11) or (e.process.comm in k11))) and k29(e.file.path))


def _rule_6(e: Any) -> Any:
    return (((e.process.file.name in k11) or (e.process.comm in k11)) and ((e.flags & 3) == 0) and k32(e.file.path))


def _rule_7(e: Any) -> Any:
    return (((e.process.file.name in k11) or (e.process.comm in k11)) and ((e.flags & 3) == 0) and (not k35(e.file.name)) and k36(e.file.path))


def _rule_8(e: Any) -> Any:
    return (((e.process.file.name in k11) or (e.process.comm in k11)) and ((e.flags & 3) == 0) and k39(e.file.path))


def _rule_9(e: Any) -> Any:
    return ((not k40(e.process.file.name)) and ((e.flags & 3) == 0) and k41(e.file.path))


def _rule_10(e: Any) -> Any:
    return (((e.flags & 3) == 0) and k42(e.file.path) and (k43(e.process.file.name) or k43(e.process.comm) or ((e.process.file.name in k11) or (e.process.comm in k11))))


def _rule_11(e: Any) -> Any:
    return ((not k47(e.process.file.name)) and (not k48(e.process.file.name)) and ((e.flags & 3) > 0) and k49(e.file.path))


def _rule_12(e: Any) -> Any:
    return (((e.process.file.name in k50) or (e.process.comm in k50)) and ((e.flags & 3) == 0) and k52(e.file.path))


def _rule_13(e: Any) -> Any:
    return (((e.process.file.name in k53) or (e.process.comm in k53)) and k55(e.process.args))


def _rule_14(e: Any) -> Any:
    return (((e.process.file.name in k56) or (e.process.comm in k56)) and k58(e.process.args))


def _rule_15(e: Any) -> Any:
    return ((e.process.file.name in k59) or (e.process.comm in k59))


def _rule_16(e: Any) -> Any:
    return ((not k61(e.process.file.path)) and (k62(e.process.file.path) or (e.process.file.path.startswith(k63) and (((e.process.credentials.uid > 0) and (e.process.credentials.uid < 1000) and (not k64(e.process.file.path)) and (not (not k65.isdisjoint(e.process.envs_and_values)))) or any(map(k10, (r.file.name for r in e.process.ancestors)))))))


def _rule_17(e: Any) -> Any:
    return e.process.file.path.startswith(k67)


def _rule_18(e: Any) -> Any:
    return (e.process.file.name.startswith(k68) and (not (e.process.file.name.startswith(k69) and k48((e.process.parent or NOBODY).file.name))))


def _rule_19(e: Any) -> Any:
    return (e.process.file.deleted and (not e.process.file.name.startswith(k68)) and (not k48((e.process.parent or NOBODY).file.name)))


def _rule_20(e: Any) -> Any:
    return ((e.process.parent or NOBODY).file.deleted and ((e.process.file.name in k73) or (e.process.comm in k73)) and (not k48((e.process.parent or NOBODY).file.name)) and (not (e.process.parent or NOBODY).file.name.startswith(k69)))


def _rule_21(e: Any) -> Any:
    return (e.process.file.name.startswith(k77) and (not k78(e.process.file.path)))


def _rule_22(e: Any) -> Any:
    return (k79(e.process.file.name) or k80(e.process.comm) or k80(e.process.argv0))


def _rule_23(e: Any) -> Any:
    return k82(e.process.file.name)


def _rule_24(e: Any) -> Any:
    return (k83((e.process.parent or NOBODY).file.name) and ((e.process.file.name in k73) or (e.process.comm in k73)) and (not k86(e.process.args)))


def _rule_25(e: Any) -> Any:
    return (k87((e.process.parent or NOBODY).file.name) and ((e.process.file.name in k73) or (e.process.comm in k73)) and (not k90(e.process.args)) and (not k91(e.process.args)))


def _rule_26(e: Any) -> Any:
    return (k92((e.process.parent or NOBODY).file.name) and ((e.process.file.name in k73) or (e.process.comm in k73)) and k95(e.process.args))


def _rule_27(e: Any) -> Any:
    return ((((e.process.file.name in k96) or (e.process.comm in k96)) or (((e.process.parent or NOBODY).file.name in k73) and ((e.process.file.name in k99) or (e.process.comm in k99)))) and any(map(k10, (r.file.name for r in e.process.ancestors))))


def _rule_28(e: Any) -> Any:
    return (((e.process.file.name in k102) or (e.process.comm in k102)) and (not k104(e.process.args)) and any(map(k10, (r.file.name for r in e.process.ancestors))))


def _rule_29(e: Any) -> Any:
    return (k106(e.process.file.path) and (not k107(e.process.file.path)) and any(map(k83, (r.file.name for r in e.process.ancestors))))


def _rule_30(e: Any) -> Any:
    return ((e.file.extension in k109) and k83(e.process.file.name) and ((e.flags & 579) > 0) and k106(e.file.path) and (not k112(e.file.path)))


def _rule_31(e: Any) -> Any:
    return (((e.process.file.name in k73) or (e.process.comm in k73)) and k115(e.process.args) and k116(e.process.args))


def _rule_32(e: Any) -> Any:
    return (((e.process.file.name in k117) or (e.process.comm in k117)) and ((not k119.isdisjoint(e.process.args_flags)) or k120(e.process.args)))


def _rule_33(e: Any) -> Any:
    return (((e.process.file.name in k121) or (e.process.comm in k121)) and k123(e.process.args))


def _rule_34(e: Any) -> Any:
    return ((k43(e.process.file.name) or k43(e.process.comm)) and (not k126.isdisjoint(e.process.args_flags)) and k127(e.process.args) and k128(e.process.args))


def _rule_35(e: Any) -> Any:
    return (((e.process.file.name in k73) or (e.process.comm in k73)) and k131(e.process.args))


def _rule_36(e: Any) -> Any:
    return ((k43(e.process.file.name) or k43(e.process.comm)) and ('c' in e.process.args_flags) and k134(e.process.args))


def _rule_37(e: Any) -> Any:
    return (k135(e.process.file.name) or k135(e.process.comm))


def _rule_38(e: Any) -> Any:
    return (((e.process.file.name in k73) or (e.process.comm in k73)) and k139(e.process.args) and k140(e.process.args))


def _rule_39(e: Any) -> Any:
    return ((k43(e.process.file.name) or k43(e.process.comm)) and (not k126.isdisjoint(e.process.args_flags)) and k144(e.process.args) and k145(e.process.args))


def _rule_40(e: Any) -> Any:
    return (((e.process.file.name in k73) or (e.process.comm in k73)) and k148(e.process.args))


def _rule_41(e: Any) -> Any:
    return (((e.process.file.name in k149) or (e.process.comm in k149)) and k151(e.process.args))


def _rule_42(e: Any) -> Any:
    return (k152(e.process.file.name) or k152(e.process.comm))


def _rule_43(e: Any) -> Any:
    return ((not ((e.process.file.name in k154) or (e.process.comm in k154))) and k156(e.process.args))


def _rule_44(e: Any) -> Any:
    return (k157(e.process.file.name) or k157(e.process.comm))


def _rule_45(e: Any) -> Any:
    return (k159(e.process.file.name) or k159(e.process.comm) or (((e.process.file.name in k73) or (e.process.comm in k73)) and any(map(k163, e.process.argv))))


def _rule_46(e: Any) -> Any:
    return (((e.process.file.name in k164) or (e.process.comm in k164)) and k166(e.process.args))


def _rule_47(e: Any) -> Any:
    return (k167(e.process.file.name) or k167(e.process.comm))


def _rule_48(e: Any) -> Any:
    return ((not (e.process.file.path in k169)) and ((e.flags & 579) > 0) and (not k170(e.file.path)) and k171(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_49(e: Any) -> Any:
    return (((e.process.file.name == 'crontab') or (e.process.comm == 'crontab')) and (not k5(e.process.file.path)) and (('-' in e.process.argv) or any(map(k175, e.process.argv))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_50(e: Any) -> Any:
    return ((not (e.process.file.path in k177)) and ((e.flags & 579) > 0) and k178(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_51(e: Any) -> Any:
    return ((not (e.process.file.path in k181)) and ((e.flags & 579) > 0) and k182(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_52(e: Any) -> Any:
    return (((e.flags & 579) > 0) and k185(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_53(e: Any) -> Any:
    return ((not (e.process.file.path in k2)) and ((e.flags & 579) > 0) and (not k5(e.process.file.path)) and (not (not k190.isdisjoint((r.file.path for r in e.process.ancestors)))) and k191(e.file.path) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_54(e: Any) -> Any:
    return ((not (e.process.file.path in k193)) and ((e.flags & 579) > 0) and k194(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_55(e: Any) -> Any:
    return ((e.file.path == '/etc/ld.so.preload') and ((e.flags & 579) > 0) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_56(e: Any) -> Any:
    return ((not (e.process.file.path in k199)) and ((e.flags & 579) > 0) and (not k5(e.process.file.path)) and k201(e.file.path) and (not (not k199.isdisjoint((r.file.path for r in e.process.ancestors)))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_57(e: Any) -> Any:
    return ((not (e.process.file.path in k204)) and ((e.flags & 579) > 0) and k205(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_58(e: Any) -> Any:
    return ((e.file.path in k208) and (not (e.process.file.path in k2)) and ((e.flags & 579) > 0) and (not k5(e.process.file.path)) and (not k7(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_59(e: Any) -> Any:
    return ((not (e.process.file.path in k213)) and ((e.flags & 579) > 0) and k214(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_60(e: Any) -> Any:
    return (((e.flags & 579) > 0) and k217(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_61(e: Any) -> Any:
    return (((e.flags & 579) > 0) and k220(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_62(e: Any) -> Any:
    return (((e.process.file.name in k223) or (e.process.comm in k223)) and k225(e.process.args) and (not k226(e.process.args)))


def _rule_63(e: Any) -> Any:
    return ((not (e.process.file.path in k227)) and ((e.flags & 579) > 0) and k228(e.file.path) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_64(e: Any) -> Any:
    return (any(map(k231, e.process.envp)) and (not any(map(k231, (e.process.parent or NOBODY).envp))))


def _rule_65(e: Any) -> Any:
    return (('LD_AUDIT' in e.process.envs_and_values) and (not ('LD_AUDIT' in (e.process.parent or NOBODY).envs_and_values)))


def _rule_66(e: Any) -> Any:
    return (((e.process.file.name == 'chattr') or (e.process.comm == 'chattr')) and k233(e.process.args) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_67(e: Any) -> Any:
    return (((e.process.file.name in k236) or (e.process.comm in k236)) and k238(e.process.args))


def _rule_68(e: Any) -> Any:
    return ((not k239.isdisjoint(e.process.args_flags)) and k240(e.process.args) and ((e.process.comm == 'sudoedit') or k241(e.process.argv0)))


def _rule_69(e: Any) -> Any:
    return (((e.process.file.name == 'pkexec') or (e.process.comm == 'pkexec')) and ((e.process.argv0 == '') or ('GCONV_PATH' in e.process.envs_and_values)))


def _rule_70(e: Any) -> Any:
    return any(map(k242, e.process.envp))


def _rule_71(e: Any) -> Any:
    return ((e.process.credentials.euid == 0) and ((e.process.file.name in k73) or (e.process.comm in k73)) and (not (e.process.credentials.uid == 0)))


def _rule_72(e: Any) -> Any:
    return (k245((e.process.parent or NOBODY).file.name) and ((e.process.file.name in k73) or (e.process.comm in k73)) and (e.process.args in k248) and (not k249.isdisjoint((r.file.name for r in e.process.ancestors))))


def _rule_73(e: Any) -> Any:
    return (((e.process.file.name == 'chmod') or (e.process.comm == 'chmod')) and k250(e.process.args) and (not k251(e.process.args)))


def _rule_74(e: Any) -> Any:
    return (((e.process.file.name in k252) or (e.process.comm in k252)) and k254(e.process.args))


def _rule_75(e: Any) -> Any:
    return (((e.process.file.name in k255) or (e.process.comm in k255)) and k257(e.process.args) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_76(e: Any) -> Any:
    return ((e.code in k260) and (e.process.credentials.euid == 0) and (not (e.cause == 0)) and (not (e.process.credentials.uid == 0)))


def _rule_77(e: Any) -> Any:
    return ((e.cause == 1) and (e.process.credentials.euid == 0) and (e.code in k260) and k262(e.process.file.path))


def _rule_78(e: Any) -> Any:
    return (((e.process.file.name in k263) or (e.process.comm in k263)) and (not k265(e.process.args)) and ((e.process.file.name == 'gcore') or (not k266.isdisjoint(e.process.args_flags)) or any(map(k267, e.process.args_options))))


def _rule_79(e: Any) -> Any:
    return ((not (e.process.container.id == '')) and (k268(e.process.file.name) or k268(e.process.comm)) and (not k270.isdisjoint(e.process.argv)) and (not k5((e.process.parent or NOBODY).file.path)) and (not (not k65.isdisjoint(e.process.envs_and_values))))


def _rule_80(e: Any) -> Any:
    return ((not (e.process.container.id == '')) and (not (e.process.args == '')) and (not e.process.args.startswith(k273)) and (not e.process.args.startswith(k274)) and (k275(e.process.file.name) or k275(e.process.comm)) and (not (not k65.isdisjoint(e.process.envs_and_values))) and (not any(map(k278, (r.file.name for r in e.process.ancestors)))))


def _rule_81(e: Any) -> Any:
    return ((not (e.process.tty_name == '')) and (not (e.process.container.id == '')) and (not ((e.process.parent or NOBODY).file.name in k73)) and ((e.process.file.name in k73) or (e.process.comm in k73)) and ((e.process.args == '') or (not k282.isdisjoint(e.process.args_flags))) and (not (not k65.isdisjoint(e.process.envs_and_values))))


def _rule_82(e: Any) -> Any:
    return (((e.process.file.name == 'nsenter') or (e.process.comm == 'nsenter')) and k284(e.process.args))


def _rule_83(e: Any) -> Any:
    return ((not (e.process.container.id == '')) and ((e.process.file.name == 'chroot') or (e.process.comm == 'chroot')) and k285(e.process.args))


def _rule_84(e: Any) -> Any:
    return ((not (e.process.container.id == '')) and ((e.process.file.name in k286) or (e.process.comm in k286)) and k288(e.process.args))


def _rule_85(e: Any) -> Any:
    return ((not (e.process.file.path in k289)) and ((e.flags & 579) > 0) and k290(e.file.path))


def _rule_86(e: Any) -> Any:
    return (((e.flags & 579) > 0) and k291(e.file.path) and ((not (e.process.container.id == '')) or (not k292(e.process.file.path))))


def _rule_87(e: Any) -> Any:
    return (k293(e.file.path) and ((e.flags & 579) > 0))


def _rule_88(e: Any) -> Any:
    return (((e.process.file.name in k294) or (e.process.comm in k294)) and k296(e.process.args))


def _rule_89(e: Any) -> Any:
    return (((e.process.file.name in k297) or (e.process.comm in k297)) and (not k299.isdisjoint(e.process.argv)) and k300(e.process.args))


def _rule_90(e: Any) -> Any:
    return (((e.process.file.name in k73) or (e.process.comm in k73)) and (not k303.isdisjoint(e.process.envp)) and (not (not k303.isdisjoint((e.process.parent or NOBODY).envp))))


def _rule_91(e: Any) -> Any:
    return (((e.flags & 512) > 0) and ((not (e.mode == 384)) or ((e.flags & 64) == 0)) and k305(e.file.path))


def _rule_92(e: Any) -> Any:
    return ((((e.process.file.name in k306) or (e.process.comm in k306)) and k308(e.process.args)) or (((e.process.file.name in k73) or (e.process.comm in k73)) and k311(e.process.args)))


def _rule_93(e: Any) -> Any:
    return ((e.file.path in k312) and ((e.flags & 512) > 0) and (not k313(e.process.file.path)) and (not k5(e.process.file.path)) and (not any(map(k313, (r.file.path for r in e.process.ancestors)))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_94(e: Any) -> Any:
    return (((e.process.file.name in k317) or (e.process.comm in k317)) and k319(e.process.args) and (not k5(e.process.file.path)) and (not any(map(k313, (r.file.path for r in e.process.ancestors)))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_95(e: Any) -> Any:
    return ((not k5(e.process.file.path)) and ((((e.process.file.name in k324) or (e.process.comm in k324)) and k326(e.process.args)) or (((e.process.file.name in k327) or (e.process.comm in k327)) and k329(e.process.args))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_96(e: Any) -> Any:
    return ((not k5(e.process.file.path)) and ((((e.process.file.name == 'nft') or (e.process.comm == 'nft')) and (e.process.args == 'flush ruleset')) or (((e.process.file.name == 'ufw') or (e.process.comm == 'ufw')) and k332(e.process.args)) or ((k333(e.process.file.name) or k333(e.process.comm)) and k335(e.process.args))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_97(e: Any) -> Any:
    return ((not k5(e.process.file.path)) and (((e.process.file.name in k338) or (e.process.comm in k338)) or (((e.process.file.name == 'setenforce') or (e.process.comm == 'setenforce')) and (e.process.args in k340)) or (((e.process.file.name == 'apparmor_parser') or (e.process.comm == 'apparmor_parser')) and (not k341.isdisjoint(e.process.args_flags)))) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_98(e: Any) -> Any:
    return (((e.process.file.name == 'auditctl') or (e.process.comm == 'auditctl')) and k343(e.process.args) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_99(e: Any) -> Any:
    return (((e.process.file.name == 'touch') or (e.process.comm == 'touch')) and k346(e.process.args) and (not k5(e.process.file.path)) and (not any(map(k5, (r.file.path for r in e.process.ancestors)))))


def _rule_100(e: Any) -> Any:
    return ((((e.process.file.name == 'dd') or (e.process.comm == 'dd')) and k349(e.process.args) and k350(e.process.args)) or (((e.process.file.name in k351) or (e.process.comm in k351)) and k353(e.process.args) and ((not (e.process.file.name == 'wipefs')) or (not k354.isdisjoint(e.process.args_flags)))))


def _rule_101(e: Any) -> Any:
    return (((e.process.file.name == 'rm') or (e.process.comm == 'rm')) and ('no-preserve-root' in e.process.args_flags))


RULES: Tuple[Prepared, ...] = (
    Prepared({'id': 'credential_file_read', 'description': 'A file with password hashes was read by a program that does not check passwords', 'expression': 'open.file.path in ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/security/opasswd", "/var/backups/shadow.bak", "/var/backups/gshadow.bak"] && open.flags & (O_WRONLY|O_RDWR) == 0 && process.file.path not in ACCOUNT_TOOLS && process.file.path not in LOGIN_SERVICES && process.ancestors.file.path not in ACCOUNT_SCRIPTS && !(process.file.name in ["busybox", "bbsuid", "toybox"] && process.comm in ACCOUNT_APPLETS) && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1003.008-etc-passwd-and-etc-shadow']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.comm', 'process.file.name', 'process.file.path',), _rule_0),
    Prepared({'id': 'ssh_private_key_read', 'description': 'A private SSH key was read by a program that copies or shows files, or by a server', 'expression': 'open.file.path in [~"/**/.ssh/id_*", ~"/**/.ssh/*.pem", ~"/etc/ssh/ssh_host_*_key"] && open.file.name !~ "*.pub" && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || process.file.name in SERVERS)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.004-private-keys']}, 'open', ('open.file.name', 'open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_1),
    Prepared({'id': 'cloud_credentials_read', 'description': 'Credentials of a cloud account were read by a program that copies or shows files, or by a server', 'expression': 'open.file.path in [~"/**/.aws/credentials", ~"/**/.aws/sso/cache/*", ~"/**/.config/gcloud/*credentials*", ~"/**/.config/gcloud/access_tokens.db", ~"/root/.config/gcloud/legacy_credentials/**", ~"/home/*/.config/gcloud/legacy_credentials/**", ~"/**/.azure/accessTokens.json", ~"/**/.azure/msal_token_cache.*", ~"/**/.azure/service_principal_entries.*", ~"/**/.oci/*.pem", ~"/**/.config/doctl/config.yaml", "/etc/boto.cfg", ~"/**/.boto"] && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || process.file.name in SERVERS)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_2),
    Prepared({'id': 'kube_config_read', 'description': 'A kubectl configuration with its credentials was read by a program that copies or shows files, or by a server', 'expression': 'open.file.path in [~"/**/.kube/config", "/etc/rancher/k3s/k3s.yaml", "/etc/rancher/rke2/rke2.yaml"] && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || process.file.name in SERVERS)', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_3),
    Prepared({'id': 'registry_credentials_read', 'description': 'Passwords of container registries were read by a program that copies or shows files, or by a server', 'expression': 'open.file.path in [~"/**/.docker/config.json", ~"/run/containers/*/auth.json", ~"/**/.config/containers/auth.json", ~"/run/user/*/containers/auth.json"] && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || process.file.name in SERVERS)', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_4),
    Prepared({'id': 'application_credentials_read', 'description': 'Passwords that a user keeps for a service were read by a program that copies or shows files, or by a server', 'expression': 'open.file.path in ["/root/.netrc", "/root/.git-credentials", "/root/.pgpass", "/root/.my.cnf", "/root/.mylogin.cnf", "/root/.npmrc", "/root/.pypirc", "/root/.vault-token", "/root/.gem/credentials", "/root/.config/gh/hosts.yml", ~"/home/*/.netrc", ~"/home/*/.git-credentials", ~"/home/*/.pgpass", ~"/home/*/.my.cnf", ~"/home/*/.mylogin.cnf", ~"/home/*/.npmrc", ~"/home/*/.pypirc", ~"/home/*/.vault-token", ~"/home/*/.gem/credentials", ~"/home/*/.config/gh/hosts.yml"] && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || process.file.name in SERVERS)', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_5),
    Prepared({'id': 'service_account_token_read', 'description': 'The token of a Kubernetes service account was read by a shell or a program that copies files', 'expression': 'open.file.path in [~"/run/secrets/kubernetes.io/serviceaccount/**/token", ~"/var/run/secrets/kubernetes.io/serviceaccount/**/token", ~"/run/secrets/eks.amazonaws.com/serviceaccount/**/token", ~"/var/run/secrets/eks.amazonaws.com/serviceaccount/**/token", ~"/run/secrets/azure/tokens/**", ~"/var/run/secrets/azure/tokens/**", ~"/run/secrets/tokens/**", ~"/var/run/secrets/tokens/**", ~"/var/lib/kubelet/pods/*/volumes/kubernetes.io*projected/*/**"] && open.flags & (O_WRONLY|O_RDWR) == 0 && (process.file.name in FILE_READERS || process.comm in FILE_READERS)', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1528-steal-application-access-token']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_6),
    Prepared({'id': 'kubelet_credentials_read', 'description': 'Credentials of a Kubernetes node or control plane were read by a program that copies or shows files', 'expression': 'open.file.path in [~"/var/lib/kubelet/pki/*", "/var/lib/kubelet/kubeconfig", ~"/etc/kubernetes/*.conf", ~"/etc/kubernetes/pki/**", ~"/var/lib/rancher/k3s/server/cred/*", "/var/lib/rancher/k3s/server/token", ~"/var/lib/rancher/k3s/server/tls/**"] && open.file.name !~ "*.crt" && open.flags & (O_WRONLY|O_RDWR) == 0 && (process.file.name in FILE_READERS || process.comm in FILE_READERS)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files', 'technique:T1552.004-private-keys']}, 'open', ('open.file.name', 'open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_7),
    Prepared({'id': 'kerberos_tickets_read', 'description': 'Kerberos keys or tickets were read by a program that copies or shows files', 'expression': 'open.file.path in ["/etc/krb5.keytab", ~"/tmp/krb5cc_*", ~"/var/tmp/krb5cc_*", ~"/run/user/*/krb5cc*", ~"/var/lib/sss/secrets/*", ~"/var/lib/sss/db/ccache_*"] && open.flags & (O_WRONLY|O_RDWR) == 0 && (process.file.name in FILE_READERS || process.comm in FILE_READERS)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1558.005-ccache-files']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_8),
    Prepared({'id': 'browser_passwords_read', 'description': 'Passwords stored by a browser were read by another program', 'expression': 'open.file.path in [~"/root/.mozilla/firefox/*/logins.json", ~"/root/.mozilla/firefox/*/key4.db", ~"/root/.config/google-chrome/*/Login Data", ~"/root/.config/chromium/*/Login Data", ~"/home/*/.mozilla/firefox/*/logins.json", ~"/home/*/.mozilla/firefox/*/key4.db", ~"/home/*/.config/google-chrome/*/Login Data", ~"/home/*/.config/chromium/*/Login Data"] && open.flags & (O_WRONLY|O_RDWR) == 0 && process.file.name not in ["firefox", "firefox-bin", ~"firefox*", "chrome", ~"google-chrome*", ~"chromium*", "geckodriver", "chromedriver", "restic", "borg"]', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1555.003-credentials-from-web-browsers']}, 'open', ('open.file.path', 'open.flags', 'process.file.name',), _rule_9),
    Prepared({'id': 'process_memory_read', 'description': 'The memory of a process was opened through /proc by a tool or a script', 'expression': 'open.file.path in [~"/proc/*/mem", ~"/proc/*/task/*/mem", "/proc/kcore", "/dev/mem", "/dev/kmem"] && open.flags & (O_WRONLY|O_RDWR) == 0 && ((process.file.name in FILE_READERS || process.comm in FILE_READERS) || (process.file.name in INTERPRETERS || process.comm in INTERPRETERS))', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1003.007-proc-filesystem']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_10),
    Prepared({'id': 'process_memory_written', 'description': 'The memory of a process was opened for writing through /proc by a program that is no debugger', 'expression': 'open.file.path in [~"/proc/*/mem", ~"/proc/*/task/*/mem"] && open.flags & (O_WRONLY|O_RDWR) > 0 && process.file.name not in DEBUGGERS && process.file.name not in CONTAINER_RUNTIMES', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'tactic:TA0004-privilege-escalation', 'technique:T1055.009-proc-memory']}, 'open', ('open.file.path', 'open.flags', 'process.file.name',), _rule_11),
    Prepared({'id': 'process_environment_read', 'description': 'The environment of a process was opened through /proc by a program that shows or searches files', 'expression': 'open.file.path in [~"/proc/*/environ", ~"/proc/*/task/*/environ"] && open.flags & (O_WRONLY|O_RDWR) == 0 && (process.file.name in ["cat", "tac", "head", "tail", "less", "more", "strings", "grep", "egrep", "fgrep", "rg", "awk", "gawk", "mawk", "sed", "tr", "xargs", "cut", "cp", "dd", "base64", "xxd", "od", "hexdump", "curl", "find"] || process.comm in ["cat", "tac", "head", "tail", "less", "more", "strings", "grep", "egrep", "fgrep", "rg", "awk", "gawk", "mawk", "sed", "tr", "xargs", "cut", "cp", "dd", "base64", "xxd", "od", "hexdump", "curl", "find"])', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1003.007-proc-filesystem']}, 'open', ('open.file.path', 'open.flags', 'process.comm', 'process.file.name',), _rule_12),
    Prepared({'id': 'cloud_metadata_credentials_requested', 'description': "A download tool asked the cloud's metadata service for credentials", 'expression': '(exec.file.name in ["curl", "wget", "http", "https", "xh", "aria2c", "nc", "ncat"] || exec.comm in ["curl", "wget", "http", "https", "xh", "aria2c", "nc", "ncat"]) && exec.args =~ r"(169\\.254\\.169\\.254|169\\.254\\.170\\.2|metadata\\.google\\.internal|fd00:ec2::254).*(security-credentials|service-accounts/.*(token|identity)|/identity/oauth2/token|/v2/credentials)"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.005-cloud-instance-metadata-api']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_13),
    Prepared({'id': 'credential_search', 'description': 'The file system was searched for private keys or credential files', 'expression': '(exec.file.name in ["find", "grep", "egrep", "fgrep", "rg", "fd", "fdfind", "locate", "plocate"] || exec.comm in ["find", "grep", "egrep", "fgrep", "rg", "fd", "fdfind", "locate", "plocate"]) && exec.args =~ r"(id_rsa|id_ed25519|id_ecdsa|id_dsa|\\.aws/|\\.git-credentials|\\.kube/config|BEGIN [A-Z ]*PRIVATE KEY|shadow\\.bak|\\*\\.kdbx|\\*\\.ppk)"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1552.001-credentials-in-files', 'technique:T1552.004-private-keys']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_14),
    Prepared({'id': 'password_cracker_started', 'description': 'A tool that guesses or cracks passwords was started', 'expression': '(exec.file.name in ["hydra", "medusa", "ncrack", "patator", "john", "hashcat", "crowbar", "brutespray", "thc-hydra", "unshadow", "kerbrute", "netexec", "crackmapexec"] || exec.comm in ["hydra", "medusa", "ncrack", "patator", "john", "hashcat", "crowbar", "brutespray", "thc-hydra", "unshadow", "kerbrute", "netexec", "crackmapexec"])', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0006-credential-access', 'technique:T1110-brute-force', 'technique:T1110.002-password-cracking']}, 'exec', ('exec.comm', 'exec.file.name',), _rule_15),
    Prepared({'id': 'exec_from_tmp', 'description': 'A program was executed that lies in /tmp or /var/tmp, in a hidden folder there, or below them for a service', 'expression': '(exec.file.path in [~"/tmp/*", ~"/var/tmp/*", ~"/tmp/.*/**", ~"/var/tmp/.*/**"] || (exec.file.path in [~"/tmp/**", ~"/var/tmp/**"] && (process.ancestors.file.name in SERVERS || (exec.uid > 0 && exec.uid < 1000 && exec.envs not in CI_VARIABLES && exec.file.path !~ "/tmp/apt-key-gpghome.*/*")))) && exec.file.path not in [~"/tmp/.mount_*/**", ~"/tmp/.X11-unix/**"]', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0005-defense-evasion', 'technique:T1036.005-match-legitimate-resource-name-or-location', 'technique:T1059-command-and-scripting-interpreter']}, 'exec', ('exec.envs', 'exec.file.path', 'exec.uid', 'process.ancestors.file.name',), _rule_16),
    Prepared({'id': 'exec_from_shared_memory', 'description': 'A program in shared memory was executed', 'expression': 'exec.file.path in [~"/dev/shm/**", ~"/run/shm/**", ~"/dev/mqueue/**"]', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0005-defense-evasion', 'technique:T1564.001-hidden-files-and-directories']}, 'exec', ('exec.file.path',), _rule_17),
    Prepared({'id': 'exec_from_memory', 'description': 'A program that exists in memory only was executed', 'expression': 'exec.file.name =~ "memfd:*" && !(exec.file.name =~ "memfd:runc_cloned*" && process.parent.file.name in CONTAINER_RUNTIMES)', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1620-reflective-code-loading']}, 'exec', ('exec.file.name', 'process.parent.file.name',), _rule_18),
    Prepared({'id': 'exec_of_deleted_file', 'description': 'A program whose file had been deleted was executed', 'expression': 'exec.file.deleted && exec.file.name !~ "memfd:*" && process.parent.file.name not in CONTAINER_RUNTIMES', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.004-file-deletion', 'technique:T1620-reflective-code-loading']}, 'exec', ('exec.file.deleted', 'exec.file.name', 'process.parent.file.name',), _rule_19),
    Prepared({'id': 'shell_from_deleted_program', 'description': 'A shell was started by a program whose file had been deleted', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && process.parent.file.deleted && process.parent.file.name not in CONTAINER_RUNTIMES && process.parent.file.name !~ "memfd:runc_cloned*"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0005-defense-evasion', 'technique:T1070.004-file-deletion', 'technique:T1059.004-unix-shell']}, 'exec', ('exec.comm', 'exec.file.name', 'process.parent.file.deleted', 'process.parent.file.name',), _rule_20),
    Prepared({'id': 'hidden_executable', 'description': 'A program with a hidden name was executed', 'expression': 'exec.file.name =~ ".*" && exec.file.path not in [~"/nix/store/**", ~"/gnu/store/**", ~"/tmp/.mount_*/**"]', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1564.001-hidden-files-and-directories']}, 'exec', ('exec.file.name', 'exec.file.path',), _rule_21),
    Prepared({'id': 'kernel_thread_name', 'description': 'A program took the name of a kernel thread', 'expression': '(exec.argv0 =~ "[*]" || exec.comm =~ "[*]" || exec.file.name in [~"kworker*", ~"ksoftirqd*", ~"kthreadd*", ~"kswapd*", ~"kdevtmpfs*", "rcu_sched", "rcu_preempt", "khugepaged", "watchdogd"])', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1036.004-masquerade-task-or-service', 'technique:T1036.011-overwrite-process-arguments']}, 'exec', ('exec.argv0', 'exec.comm', 'exec.file.name',), _rule_22),
    Prepared({'id': 'space_in_program_name', 'description': 'A program whose name ends in a blank was executed', 'expression': 'exec.file.name =~ r" $"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1036.006-space-after-filename']}, 'exec', ('exec.file.name',), _rule_23),
    Prepared({'id': 'web_server_shell', 'description': 'A web server started a shell', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && process.parent.file.name in WEB_SERVERS && exec.args !~ r"^-c (-- )?(exec )?(/usr/(s?bin|lib)/)?(sendmail|msmtp|rotatelogs|cronolog)( [^;|&`$<>]*)?$"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'tactic:TA0002-execution', 'technique:T1505.003-web-shell', 'technique:T1059.004-unix-shell']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.parent.file.name',), _rule_24),
    Prepared({'id': 'database_shell', 'description': 'A database started a shell', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && process.parent.file.name in DATABASES && exec.args !~ r"^-c (-- )?locale -a$" && exec.args !~ r"pg_(wal|xlog)/([0-9A-F]{8}|RECOVERY)"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0002-execution', 'technique:T1059.004-unix-shell', 'technique:T1190-exploit-public-facing-application']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.parent.file.name',), _rule_25),
    Prepared({'id': 'runtime_shell', 'description': 'A language runtime started an interactive shell, or a shell that asks who it is', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && process.parent.file.name in RUNTIMES && exec.args =~ r"^(-i|-c (-- )?(id|whoami|w|cat /etc/(passwd|shadow)|(/usr)?(/bin/)?(ba|da|z)?sh -i.*)( 2>&1)?;?)$"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0002-execution', 'technique:T1059.004-unix-shell', 'technique:T1190-exploit-public-facing-application']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.parent.file.name',), _rule_26),
    Prepared({'id': 'server_discovery', 'description': 'A program below a server asked for users, addresses, processes or the system', 'expression': '((exec.file.name in ["whoami", "id", "groups", "w", "who", "last", "lastlog", "users", "crontab", "sudo", "dmidecode", "lsof"] || exec.comm in ["whoami", "id", "groups", "w", "who", "last", "lastlog", "users", "crontab", "sudo", "dmidecode", "lsof"]) || ((exec.file.name in ["hostname", "hostnamectl", "uname", "ifconfig", "ip", "arp", "route", "netstat", "ss", "ps", "pstree", "lscpu", "lsblk", "lsmod", "getent", "env", "printenv"] || exec.comm in ["hostname", "hostnamectl", "uname", "ifconfig", "ip", "arp", "route", "netstat", "ss", "ps", "pstree", "lscpu", "lsblk", "lsmod", "getent", "env", "printenv"]) && process.parent.file.name in SHELLS)) && process.ancestors.file.name in SERVERS', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0007-discovery', 'technique:T1033-system-owner-user-discovery', 'technique:T1082-system-information-discovery']}, 'exec', ('exec.comm', 'exec.file.name', 'process.ancestors.file.name', 'process.parent.file.name',), _rule_27),
    Prepared({'id': 'server_download', 'description': 'A program below a server started a download tool', 'expression': '(exec.file.name in ["curl", "wget", "fetch", "ftp", "tftp", "lftp", "scp", "sftp", "aria2c", "axel", "rclone"] || exec.comm in ["curl", "wget", "fetch", "ftp", "tftp", "lftp", "scp", "sftp", "aria2c", "axel", "rclone"]) && process.ancestors.file.name in SERVERS && exec.args !~ r"^(-[a-zA-Z]+ )*https?://(localhost|127\\.0\\.0\\.1|\\[::1\\])[:/]"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0011-command-and-control', 'technique:T1105-ingress-tool-transfer']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.name',), _rule_28),
    Prepared({'id': 'uploaded_file_executed', 'description': "A file below a web server's documents was executed by the web server", 'expression': 'exec.file.path in WEB_ROOTS && exec.file.path not in [~"/**/cgi-bin/*", ~"/**/vendor/*", ~"/**/bin/*", ~"/**/.bin/*"] && process.ancestors.file.name in WEB_SERVERS', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1505.003-web-shell']}, 'exec', ('exec.file.path', 'process.ancestors.file.name',), _rule_29),
    Prepared({'id': 'server_page_written', 'description': 'A web server wrote a page that it would execute', 'expression': 'open.file.path in WEB_ROOTS && open.flags & WRITING > 0 && open.file.extension in [".php", ".php5", ".php7", ".phtml", ".phar", ".jsp", ".jspx", ".asp", ".aspx", ".cgi"] && open.file.path not in WEB_CACHES && process.file.name in WEB_SERVERS', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1505.003-web-shell']}, 'open', ('open.file.extension', 'open.file.path', 'open.flags', 'process.file.name',), _rule_30),
    Prepared({'id': 'dev_tcp_shell', 'description': 'A shell was told to connect its input or output with a network address', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args =~ r"/dev/(tcp|udp)/" && exec.args =~ r"((ba|da|z|k|a)?sh +-[a-z]*i|0>& ?[0-9]|0<& ?[0-9]|(ba|da|z|k|a)?sh <& ?[0-9]|while read|\\| *(ba|da|z|k|a)?sh\\b)"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0011-command-and-control', 'technique:T1059.004-unix-shell', 'technique:T1095-non-application-layer-protocol']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_31),
    Prepared({'id': 'netcat_shell', 'description': 'Netcat was told to connect a program with the network', 'expression': '(exec.file.name in ["nc", "ncat", "netcat", "nc.traditional", "nc.openbsd"] || exec.comm in ["nc", "ncat", "netcat", "nc.traditional", "nc.openbsd"]) && (exec.args_flags in ["e", "exec", "sh-exec", "lua-exec"] || exec.args =~ r"(^| )-[a-z]*c (/usr)?(/bin/)?(ba|da|z|k|a)?sh\\b")', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0011-command-and-control', 'technique:T1059.004-unix-shell', 'technique:T1095-non-application-layer-protocol']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_32),
    Prepared({'id': 'socat_shell', 'description': 'Socat was told to connect a shell with the network', 'expression': '(exec.file.name in ["socat", "socat1"] || exec.comm in ["socat", "socat1"]) && exec.args =~ r"(?i)\\b(exec|system):[\'\\"]?(/usr)?(/bin/)?(ba|da|z|k|a)?sh\\b"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0011-command-and-control', 'technique:T1059.004-unix-shell']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_33),
    Prepared({'id': 'script_reverse_shell', 'description': 'A one-line program connects a shell with the network', 'expression': '(exec.file.name in INTERPRETERS || exec.comm in INTERPRETERS) && exec.args_flags in ["c", "e", "r"] && exec.args =~ r"(?i)(sock|TCPSocket|net\\.connect)" && exec.args =~ r"(dup2|pty\\.spawn|/bin/(ba|da|z)?sh|\\b(ba|da|z)?sh -i|child_process|STDIN,)"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0011-command-and-control', 'technique:T1059-command-and-scripting-interpreter', 'technique:T1095-non-application-layer-protocol']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_34),
    Prepared({'id': 'fifo_reverse_shell', 'description': 'A shell connects a named pipe with the network', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args =~ r"mk(fifo|nod) .*\\b(nc|ncat|netcat|telnet|socat|openssl s_client)\\b"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0011-command-and-control', 'technique:T1059.004-unix-shell', 'technique:T1095-non-application-layer-protocol']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_35),
    Prepared({'id': 'terminal_for_shell', 'description': 'A one-line program gave a shell a terminal', 'expression': '(exec.file.name in INTERPRETERS || exec.comm in INTERPRETERS) && exec.args_flags == "c" && exec.args =~ r"pty.*spawn\\(.*sh\\b"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0002-execution', 'technique:T1059.006-python']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_36),
    Prepared({'id': 'tunnel_started', 'description': 'A tool that tunnels connections out of the network was started', 'expression': '(exec.file.name in ["ngrok", "chisel", "frpc", "frps", ~"ligolo*", "gost", "revsocks", "iox", ~"pwncat*", "tmate", "gs-netcat", "bore", "rathole", "inlets", ~"dnscat*", "iodine", ~"ptunnel*", ~"proxychains*", "tor"] || exec.comm in ["ngrok", "chisel", "frpc", "frps", ~"ligolo*", "gost", "revsocks", "iox", ~"pwncat*", "tmate", "gs-netcat", "bore", "rathole", "inlets", ~"dnscat*", "iodine", ~"ptunnel*", ~"proxychains*", "tor"])', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0011-command-and-control', 'technique:T1572-protocol-tunneling']}, 'exec', ('exec.comm', 'exec.file.name',), _rule_37),
    Prepared({'id': 'encoded_command', 'description': 'A shell runs a command that was hidden in base64 or hexadecimal digits', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args =~ r"(base64 +(-d|-D|-di|-id|--decode)|base32 +-d|xxd +-[a-z]*r|openssl +(base64|enc) .*-d)[^;&]*(\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl)\\b|\\)[\\"\'`]? *$)" && exec.args =~ r"(\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl)\\b|\\beval\\b|(ba|da|z|k|a)?sh +(-c|<\\())"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'tactic:TA0002-execution', 'technique:T1140-deobfuscate-decode-files-or-information', 'technique:T1027.010-command-obfuscation']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_38),
    Prepared({'id': 'encoded_script', 'description': 'A one-line program runs code that was hidden in base64', 'expression': '(exec.file.name in INTERPRETERS || exec.comm in INTERPRETERS) && exec.args_flags in ["c", "e", "r"] && exec.args =~ r"(exec|eval|system|popen|subprocess|os\\.)" && exec.args =~ r"(b64decode|decode_base64|base64_decode|decode64|Buffer\\.from\\(.*base64|codecs\\.decode\\(.*base64)"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'tactic:TA0002-execution', 'technique:T1140-deobfuscate-decode-files-or-information', 'technique:T1027.010-command-obfuscation']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_39),
    Prepared({'id': 'piped_download', 'description': 'A shell runs what it downloads from a bare address or without encryption', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args =~ r"\\b(curl|wget) [^|;]*(http://|[ /\'\\"]([0-9]{1,3}\\.){3}[0-9]{1,3}[:/])[^|;]*\\| *(sudo +)?(/usr)?(/bin/)?((ba|da|z|k|a)?sh|python[0-9.]*|perl|php)\\b"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0011-command-and-control', 'tactic:TA0002-execution', 'technique:T1105-ingress-tool-transfer', 'technique:T1059.004-unix-shell']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_40),
    Prepared({'id': 'hidden_download', 'description': 'A download tool writes to shared memory or to a hidden file in a temporary directory', 'expression': '(exec.file.name in ["curl", "wget", "aria2c", "scp"] || exec.comm in ["curl", "wget", "aria2c", "scp"]) && exec.args =~ r"(/dev/shm/|/tmp/\\.[^. /])"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0011-command-and-control', 'tactic:TA0005-defense-evasion', 'technique:T1105-ingress-tool-transfer', 'technique:T1564.001-hidden-files-and-directories']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_41),
    Prepared({'id': 'miner_started', 'description': 'A program that mines cryptocurrency was started', 'expression': '(exec.file.name in [~"xmrig*", ~"xmr-stak*", "minerd", ~"cpuminer*", ~"ccminer*", ~"cgminer*", ~"bfgminer*", ~"ethminer*", ~"nbminer*", "t-rex", "lolMiner", "lolminer", ~"phoenixminer*", ~"nanominer*", ~"srbminer*", ~"SRBMiner*", ~"nheqminer*", "kinsing", "kdevtmpfsi", "sugarmaker", "xmrigdaemon", "monerod"] || exec.comm in [~"xmrig*", ~"xmr-stak*", "minerd", ~"cpuminer*", ~"ccminer*", ~"cgminer*", ~"bfgminer*", ~"ethminer*", ~"nbminer*", "t-rex", "lolMiner", "lolminer", ~"phoenixminer*", ~"nanominer*", ~"srbminer*", ~"SRBMiner*", ~"nheqminer*", "kinsing", "kdevtmpfsi", "sugarmaker", "xmrigdaemon", "monerod"])', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0040-impact', 'technique:T1496.001-compute-hijacking']}, 'exec', ('exec.comm', 'exec.file.name',), _rule_42),
    Prepared({'id': 'mining_pool_given', 'description': 'A program was given the address or the options of a mining pool', 'expression': 'exec.args =~ r"(stratum\\d?\\+?(tcp|ssl|tls)?://|--donate-level|--randomx-|(^| )(-a|--algo)[ =](rx/|randomx|cryptonight|cn/|kawpow|ethash))" && !(exec.file.name in TEXT_TOOLS || exec.comm in TEXT_TOOLS)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0040-impact', 'technique:T1496.001-compute-hijacking']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_43),
    Prepared({'id': 'network_scanner_started', 'description': 'A tool that scans networks was started', 'expression': '(exec.file.name in ["nmap", "masscan", "zmap", "rustscan", "unicornscan", "hping3", ~"zgrab*", "fscan", "naabu", "arp-scan", "netdiscover", "nbtscan", "enum4linux", "smbmap"] || exec.comm in ["nmap", "masscan", "zmap", "rustscan", "unicornscan", "hping3", ~"zgrab*", "fscan", "naabu", "arp-scan", "netdiscover", "nbtscan", "enum4linux", "smbmap"])', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0007-discovery', 'technique:T1046-network-service-discovery']}, 'exec', ('exec.comm', 'exec.file.name',), _rule_44),
    Prepared({'id': 'enumeration_script_started', 'description': 'A script that looks for ways to more privileges was started', 'expression': '(exec.argv in [~"*linpeas*", ~"*LinEnum*", ~"*linenum*", ~"*linux-exploit-suggester*", ~"*lse.sh", ~"*linuxprivchecker*", ~"*unix-privesc-check*", ~"*deepce*", ~"*linux-smart-enumeration*"] && (exec.file.name in SHELLS || exec.comm in SHELLS)) || (exec.file.name in [~"linpeas*", ~"LinEnum*", ~"linenum*", ~"linux-exploit-s*", "lse.sh", ~"pspy*", ~"deepce*", "amicontained", "kube-hunter", "peirates", ~"traitor*", ~"beroot*"] || exec.comm in [~"linpeas*", ~"LinEnum*", ~"linenum*", ~"linux-exploit-s*", "lse.sh", ~"pspy*", ~"deepce*", "amicontained", "kube-hunter", "peirates", ~"traitor*", ~"beroot*"])', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0007-discovery', 'technique:T1082-system-information-discovery', 'technique:T1613-container-and-resource-discovery']}, 'exec', ('exec.argv', 'exec.comm', 'exec.file.name',), _rule_45),
    Prepared({'id': 'setuid_search', 'description': "The file system was searched for programs that run with another user's privileges", 'expression': '(exec.file.name in ["find", "fd", "bfs"] || exec.comm in ["find", "fd", "bfs"]) && exec.args =~ r"-perm +[-/]?(u=s|g=s|u\\+s|g\\+s|a=s|\\+s|0?[2-7]000)"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0007-discovery', 'tactic:TA0004-privilege-escalation', 'technique:T1083-file-and-directory-discovery', 'technique:T1548.001-setuid-and-setgid']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_46),
    Prepared({'id': 'network_sniffer_started', 'description': 'A tool that records network traffic was started', 'expression': '(exec.file.name in ["tcpdump", "tshark", "dumpcap", ~"ettercap*", "bettercap", "ngrep", "dsniff", "tcpflow", "sslsniff", "netsniff-ng", "responder"] || exec.comm in ["tcpdump", "tshark", "dumpcap", ~"ettercap*", "bettercap", "ngrep", "dsniff", "tcpflow", "sslsniff", "netsniff-ng", "responder"])', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0006-credential-access', 'tactic:TA0007-discovery', 'technique:T1040-network-sniffing']}, 'exec', ('exec.comm', 'exec.file.name',), _rule_47),
    Prepared({'id': 'cron_job_written', 'description': 'A cron job was written', 'expression': 'open.file.path in ["/etc/crontab", "/etc/anacrontab", ~"/etc/cron.d/*", ~"/etc/cron.hourly/*", ~"/etc/cron.daily/*", ~"/etc/cron.weekly/*", ~"/etc/cron.monthly/*", ~"/var/spool/cron/**", ~"/etc/crontabs/*"] && open.flags & WRITING > 0 && open.file.path not in [~"/var/spool/cron/atjobs/*", ~"/var/spool/cron/atspool/*"] && process.file.path not in ["/usr/bin/crontab", "/usr/sbin/cron", "/usr/sbin/crond", "/usr/sbin/anacron"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1053.003-cron']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_48),
    Prepared({'id': 'crontab_from_input', 'description': 'A crontab was replaced by what another program wrote', 'expression': '(exec.file.name == "crontab" || exec.comm == "crontab") && (exec.argv == "-" || exec.argv in [~"/tmp/*", ~"/dev/shm/*", ~"/var/tmp/*"]) && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1053.003-cron']}, 'exec', ('exec.argv', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_49),
    Prepared({'id': 'at_job_written', 'description': 'A job for later was written', 'expression': 'open.file.path in [~"/var/spool/at/*", ~"/var/spool/at/spool/*", ~"/var/spool/cron/atjobs/*"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/sbin/atd", "/usr/bin/atd"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1053.002-at']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_50),
    Prepared({'id': 'systemd_unit_written', 'description': 'A systemd unit was written', 'expression': 'open.file.path in [~"/etc/systemd/system/**", ~"/etc/systemd/user/**", ~"/usr/lib/systemd/system/**", ~"/usr/lib/systemd/user/**", ~"/lib/systemd/system/**", ~"/run/systemd/system/**", ~"/usr/local/lib/systemd/system/**", ~"/etc/systemd/system-generators/*", ~"/root/.config/systemd/user/**", ~"/home/*/.config/systemd/user/**"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/usr/bin/systemctl", "/bin/systemctl"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1543.002-systemd-service']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_51),
    Prepared({'id': 'init_script_written', 'description': 'A script that runs at boot was written', 'expression': 'open.file.path in [~"/etc/init.d/*", "/etc/rc.local", ~"/etc/rc.d/**", ~"/etc/rc*.d/*", ~"/etc/init/*", ~"/etc/local.d/*"] && open.flags & WRITING > 0 && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1037.004-rc-scripts']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_52),
    Prepared({'id': 'shell_startup_written', 'description': 'A file that shells read when they start was written', 'expression': 'open.file.path in HOME_STARTUP && open.flags & WRITING > 0 && process.file.path not in ACCOUNT_TOOLS && process.ancestors.file.path not in ACCOUNT_ADDERS && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1546.004-unix-shell-configuration-modification']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_53),
    Prepared({'id': 'authorized_keys_written', 'description': 'Keys that may log in, or the rules of who may, were written', 'expression': 'open.file.path in [~"/**/.ssh/authorized_keys", ~"/**/.ssh/authorized_keys2", "/etc/ssh/sshd_config", ~"/etc/ssh/sshd_config.d/*", ~"/etc/ssh/authorized_keys/**"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/bin/google_guest_agent", "/usr/sbin/waagent", "/usr/bin/ssh-import-id"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1098.004-ssh-authorized-keys']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_54),
    Prepared({'id': 'preload_list_written', 'description': 'The list of libraries that are loaded into every program was written', 'expression': 'open.file.path == "/etc/ld.so.preload" && open.flags & WRITING > 0 && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0003-persistence', 'tactic:TA0005-defense-evasion', 'technique:T1574.006-dynamic-linker-hijacking']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_55),
    Prepared({'id': 'pam_changed', 'description': 'The modules or the rules of authentication were changed', 'expression': 'open.file.path in [~"/etc/pam.d/*", "/etc/pam.conf", ~"/etc/security/*.conf", ~"/usr/lib/security/*", ~"/lib/security/*", ~"/usr/lib64/security/*", ~"/lib64/security/*", ~"/usr/lib/*/security/*", ~"/lib/*/security/*"] && open.flags & WRITING > 0 && process.ancestors.file.path not in AUTHENTICATION_TOOLS && process.file.path not in AUTHENTICATION_TOOLS && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0006-credential-access', 'tactic:TA0003-persistence', 'technique:T1556.003-pluggable-authentication-modules']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_56),
    Prepared({'id': 'sudoers_changed', 'description': 'The rules of who may become root were changed', 'expression': 'open.file.path in ["/etc/sudoers", ~"/etc/sudoers.d/*", "/usr/local/etc/sudoers", "/etc/doas.conf", ~"/etc/polkit-1/rules.d/*", ~"/usr/share/polkit-1/rules.d/*"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/sbin/visudo", "/sbin/visudo", "/usr/bin/visudo"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1548.003-sudo-and-sudo-caching']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_57),
    Prepared({'id': 'account_file_written', 'description': 'The list of accounts or groups was changed by a program that does not manage accounts', 'expression': 'open.file.path in ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"] && open.flags & WRITING > 0 && process.file.path not in ACCOUNT_TOOLS && process.file.path not in LOGIN_SERVICES && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1136.001-local-account']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_58),
    Prepared({'id': 'udev_rule_written', 'description': 'A rule that runs programs when devices appear was written', 'expression': 'open.file.path in [~"/etc/udev/rules.d/*", ~"/usr/lib/udev/rules.d/*", ~"/lib/udev/rules.d/*", ~"/run/udev/rules.d/*"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1546.017-udev-rules']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_59),
    Prepared({'id': 'autostart_entry_written', 'description': 'An entry that starts a program at a desktop login was written', 'expression': 'open.file.path in [~"/etc/xdg/autostart/*", ~"/root/.config/autostart/*", ~"/home/*/.config/autostart/*", ~"/home/*/.config/autostart-scripts/*"] && open.flags & WRITING > 0 && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1547.013-xdg-autostart-entries']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_60),
    Prepared({'id': 'module_loading_configured', 'description': 'The list of kernel modules to load was changed', 'expression': 'open.file.path in ["/etc/modules", ~"/etc/modules-load.d/*", ~"/usr/lib/modules-load.d/*", ~"/run/modules-load.d/*", ~"/etc/modprobe.d/*", ~"/lib/modprobe.d/*", ~"/usr/lib/modprobe.d/*"] && open.flags & WRITING > 0 && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1547.006-kernel-modules-and-extensions']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_61),
    Prepared({'id': 'module_file_inserted', 'description': 'A kernel module was inserted from a file outside of the module directory', 'expression': '(exec.file.name in ["insmod", "modprobe", "kmod"] || exec.comm in ["insmod", "modprobe", "kmod"]) && exec.args =~ r"(^|[ =])(\\./|\\.\\./|/)?[^ ]*\\.ko(\\.(gz|xz|zst))?( |$)" && exec.args !~ r"^(-[a-z]+ )*(/usr)?/lib/modules/"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'tactic:TA0005-defense-evasion', 'technique:T1547.006-kernel-modules-and-extensions', 'technique:T1014-rootkit']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_62),
    Prepared({'id': 'system_program_written', 'description': 'A program of the system was written by something other than a package manager', 'expression': 'open.file.path in [~"/usr/bin/*", ~"/usr/sbin/*", ~"/bin/*", ~"/sbin/*"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/bin/busybox", "/bin/busybox", "/usr/bin/update-alternatives"] && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1554-compromise-host-software-binary']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_63),
    Prepared({'id': 'library_injected', 'description': 'A program was started with a library from a temporary or hidden place forced into it', 'expression': 'exec.envp =~ r"^LD_(PRELOAD|AUDIT)=(.*[: ])?(/tmp/|/var/tmp/|/dev/shm/|/[^: ]*/\\.[^:. /])" && process.parent.envp !~ r"^LD_(PRELOAD|AUDIT)=(.*[: ])?(/tmp/|/var/tmp/|/dev/shm/|/[^: ]*/\\.[^:. /])"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0003-persistence', 'tactic:TA0005-defense-evasion', 'technique:T1574.006-dynamic-linker-hijacking']}, 'exec', ('exec.envp', 'process.parent.envp',), _rule_64),
    Prepared({'id': 'linker_audit_injected', 'description': 'A program was started with a library that audits the dynamic linker', 'expression': 'exec.envs == "LD_AUDIT" && process.parent.envs != "LD_AUDIT"', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1574.006-dynamic-linker-hijacking']}, 'exec', ('exec.envs', 'process.parent.envs',), _rule_65),
    Prepared({'id': 'immutable_flag_changed', 'description': 'A file was protected against changes, or the protection was taken away', 'expression': '(exec.file.name == "chattr" || exec.comm == "chattr") && exec.args =~ r"(^| )[-+=][a-zA-Z]*[ai][a-zA-Z]* " && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1222.002-linux-and-mac-file-and-directory-permissions-modification']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_66),
    Prepared({'id': 'sudo_negative_user', 'description': 'Sudo was asked for a user number that old versions take for root', 'expression': '(exec.file.name in ["sudo", "sudoedit"] || exec.comm in ["sudo", "sudoedit"]) && exec.args =~ r"(-u|--user)[ =]?#(-1|4294967295)\\b"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1548.003-sudo-and-sudo-caching', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_67),
    Prepared({'id': 'sudoedit_overflow', 'description': 'Sudoedit was given an argument that ends in a backslash, which overflows a buffer of old versions', 'expression': '(exec.comm == "sudoedit" || exec.argv0 in ["sudoedit", ~"*/sudoedit"]) && exec.args_flags in ["s", "i"] && exec.args =~ r"\\\\( |$)"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.argv0', 'exec.comm',), _rule_68),
    Prepared({'id': 'pkexec_without_arguments', 'description': 'Pkexec was started without any argument or with a forged conversion path, as an exploit does', 'expression': '(exec.file.name == "pkexec" || exec.comm == "pkexec") && (exec.argv0 == "" || exec.envs == "GCONV_PATH")', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exec', ('exec.argv0', 'exec.comm', 'exec.envs', 'exec.file.name',), _rule_69),
    Prepared({'id': 'linker_tunables_overflow', 'description': 'A privileged program was started with tunables that overflow a buffer of the dynamic linker', 'expression': 'exec.envp =~ r"^GLIBC_TUNABLES=(.*:)?(glibc\\.[a-z_.]+)=glibc\\.[a-z_.]+="', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exec', ('exec.envp',), _rule_70),
    Prepared({'id': 'shell_with_borrowed_root', 'description': 'A shell runs as root for a user who is not', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.uid != 0 && exec.euid == 0', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1548.001-setuid-and-setgid']}, 'exec', ('exec.comm', 'exec.euid', 'exec.file.name', 'exec.uid',), _rule_71),
    Prepared({'id': 'shell_escape', 'description': 'An interactive shell was started from inside a program that runs by sudo', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args in ["", "-i", "-p", "-l", "-c sh", "-c /bin/sh", "-c bash", "-c /bin/bash"] && process.parent.file.name in [~"vi*", ~"vim*", "nvim", "view", "rvim", "less", "more", "man", "find", "awk", "gawk", "mawk", "tar", "zip", "nmap", "ed", "ftp", "gdb", ~"python*", "perl", ~"ruby*", ~"lua*", "env", "nice", "ionice", "timeout", "xargs", "git", "tcpdump", "rsync", "make", "nano"] && process.ancestors.file.name in ["sudo", "sudo-rs", "doas", "pkexec"]', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1548.003-sudo-and-sudo-caching']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.name', 'process.parent.file.name',), _rule_72),
    Prepared({'id': 'setuid_shell_made', 'description': "A shell, an interpreter or a file in a temporary directory was given its owner's privileges", 'expression': '(exec.file.name == "chmod" || exec.comm == "chmod") && exec.args =~ r"(^| )(0?[2-7][0-7]{3}|[ugoa]*[+=][rwxX]*s[rwxstX]*) (-- )?.*(/tmp/|/dev/shm/|(^|[ /])((ba|da|z|k|a)?sh|python[0-9.]*|perl|find|vim?|cp|nmap|env)( |$))" && exec.args !~ r"(^| )0?[1-7]?777 "', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'tactic:TA0003-persistence', 'technique:T1548.001-setuid-and-setgid']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_73),
    Prepared({'id': 'root_account_made', 'description': 'An account with the user number of root was made', 'expression': '(exec.file.name in ["useradd", "usermod", "adduser"] || exec.comm in ["useradd", "usermod", "adduser"]) && exec.args =~ r"(^| )(-[a-zA-Z]*u|--uid)[ =]?0( |$)"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0003-persistence', 'technique:T1136.001-local-account']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_74),
    Prepared({'id': 'admin_group_joined', 'description': 'A user was added to a group that may become root', 'expression': '(exec.file.name in ["usermod", "gpasswd", "adduser", "addgroup", "groupmems"] || exec.comm in ["usermod", "gpasswd", "adduser", "addgroup", "groupmems"]) && exec.args =~ r"(^|[ ,=])(sudo|wheel|admin|root|docker|lxd|disk|shadow)([ ,]|$)" && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0003-persistence', 'tactic:TA0004-privilege-escalation', 'technique:T1098.007-additional-local-or-domain-groups']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_75),
    Prepared({'id': 'setuid_program_crashed', 'description': "A program that runs with more privileges than its user's crashed, as in a failed exploit", 'expression': 'exit.cause != EXITED && exit.code in [ SIGSEGV, SIGBUS, SIGILL, SIGABRT ] && exit.euid == 0 && exit.uid != 0', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exit', ('exit.cause', 'exit.code', 'exit.euid', 'exit.uid',), _rule_76),
    Prepared({'id': 'system_program_crashed', 'description': 'A service or a tool of the system that runs as root crashed and left a core dump', 'expression': 'exit.cause == COREDUMPED && exit.euid == 0 && exit.code in [ SIGSEGV, SIGBUS, SIGILL, SIGABRT ] && exit.file.path in [~"/usr/sbin/*", ~"/sbin/*", ~"/usr/lib/systemd/*", ~"/lib/systemd/*", ~"/usr/libexec/**", ~"/usr/lib/openssh/*", "/usr/bin/sudo", "/usr/bin/su", "/bin/su", "/usr/bin/pkexec", "/usr/bin/passwd", "/usr/bin/login", "/usr/bin/dockerd", "/usr/bin/containerd", "/usr/bin/runc"]', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1068-exploitation-for-privilege-escalation']}, 'exit', ('exit.cause', 'exit.code', 'exit.euid', 'exit.file.path',), _rule_77),
    Prepared({'id': 'debugger_attached', 'description': 'A debugger was told to attach to a running process', 'expression': '(exec.file.name in ["gdb", "strace", "ltrace", "lldb", "gcore"] || exec.comm in ["gdb", "strace", "ltrace", "lldb", "gcore"]) && (exec.args_flags in ["p", "pid", "attach-pid"] || exec.args_options in [~"pid=*", ~"p=*"] || exec.file.name == "gcore") && exec.args !~ r"(^| )--args "', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'tactic:TA0006-credential-access', 'technique:T1055.008-ptrace-system-calls']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.args_options', 'exec.comm', 'exec.file.name',), _rule_78),
    Prepared({'id': 'package_installed_in_container', 'description': 'A package was installed in a running container', 'expression': '(exec.file.name in ["apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "dnf-3", "dnf5", "microdnf", "rpm", "zypper", "apk", "pacman", "pip", ~"pip3*", "npm", "gem"] || exec.comm in ["apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "dnf-3", "dnf5", "microdnf", "rpm", "zypper", "apk", "pacman", "pip", ~"pip3*", "npm", "gem"]) && exec.argv in ["install", "add", "reinstall", "localinstall", "-i", "--install", "-U", "-S", "-Sy", "-ivh", "-Uvh"] && process.container.id != "" && exec.envs not in CI_VARIABLES && process.parent.file.path not in MAINTENANCE', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0011-command-and-control', 'technique:T1105-ingress-tool-transfer']}, 'exec', ('exec.argv', 'exec.comm', 'exec.envs', 'exec.file.name', 'process.container.id', 'process.parent.file.path',), _rule_79),
    Prepared({'id': 'compiler_in_container', 'description': 'A compiler was started in a running container', 'expression': '(exec.file.name in ["gcc", ~"gcc-*", "g++", ~"g++-*", "cc", "c++", ~"clang*", "tcc", "rustc", "go", "as", "ld", "nasm", "javac", ~"*-linux-gnu-gcc*"] || exec.comm in ["gcc", ~"gcc-*", "g++", ~"g++-*", "cc", "c++", ~"clang*", "tcc", "rustc", "go", "as", "ld", "nasm", "javac", ~"*-linux-gnu-gcc*"]) && exec.args != "" && exec.args !~ "--version*" && exec.args !~ "-v*" && process.container.id != "" && exec.envs not in CI_VARIABLES && process.ancestors.file.name not in ["gcc", ~"gcc-*", "g++", ~"*-linux-gnu-gcc*", "clang", "make", "pip", ~"pip3*", "npm", "cargo", "go"]', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1027.004-compile-after-delivery']}, 'exec', ('exec.args', 'exec.comm', 'exec.envs', 'exec.file.name', 'process.ancestors.file.name', 'process.container.id',), _rule_80),
    Prepared({'id': 'terminal_in_container', 'description': 'Somebody opened a shell with a terminal in a container', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.tty_name != "" && (exec.args == "" || exec.args_flags in ["i", "l", "login"]) && process.container.id != "" && exec.envs not in CI_VARIABLES && process.parent.file.name not in SHELLS', 'tags': {'severity': 'low'}, 'product_tags': ['tactic:TA0002-execution', 'technique:T1609-container-administration-command']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.envs', 'exec.file.name', 'exec.tty_name', 'process.container.id', 'process.parent.file.name',), _rule_81),
    Prepared({'id': 'namespace_of_host_entered', 'description': "A shell or a tool entered the namespaces of the host's first process", 'expression': '(exec.file.name == "nsenter" || exec.comm == "nsenter") && exec.args =~ r"(^| )(-[a-zA-Z]*t|--target)[ =]?1( |$)"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1611-escape-to-host']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_82),
    Prepared({'id': 'chroot_to_host', 'description': 'A container changed its root directory to that of the host', 'expression': '(exec.file.name == "chroot" || exec.comm == "chroot") && exec.args =~ r"^(--[a-z=:0-9]+ )*(/proc/1/root|/host|/hostfs|/host-root|/hostroot|/rootfs|/mnt|/mnt/[^ ]+)/?( |$)" && process.container.id != ""', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1611-escape-to-host']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.container.id',), _rule_83),
    Prepared({'id': 'disk_mounted_in_container', 'description': 'A container mounted or examined a disk of the host', 'expression': '(exec.file.name in ["mount", "debugfs", "fdisk", "parted"] || exec.comm in ["mount", "debugfs", "fdisk", "parted"]) && exec.args =~ r"/dev/(sd[a-z]|vd[a-z]|xvd[a-z]|nvme[0-9]|mmcblk|dm-[0-9]|mapper/)" && process.container.id != ""', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1611-escape-to-host']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.container.id',), _rule_84),
    Prepared({'id': 'cgroup_escape', 'description': 'The program that the kernel runs for empty cgroups was set', 'expression': 'open.file.path in [~"/**/release_agent", ~"/**/notify_on_release"] && open.flags & WRITING > 0 && process.file.path not in ["/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/usr/bin/dockerd", "/usr/bin/containerd", "/usr/bin/runc"]', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1611-escape-to-host']}, 'open', ('open.file.path', 'open.flags', 'process.file.path',), _rule_85),
    Prepared({'id': 'kernel_helper_set', 'description': 'A program that the kernel would run as root was set', 'expression': 'open.file.path in [~"/**/sys/kernel/core_pattern", ~"/**/sys/kernel/modprobe", ~"/**/sys/kernel/hotplug", ~"/**/sys/kernel/uevent_helper"] && open.flags & WRITING > 0 && (process.file.path not in SYSTEM_SETTERS || process.container.id != "")', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1611-escape-to-host']}, 'open', ('open.file.path', 'open.flags', 'process.container.id', 'process.file.path',), _rule_86),
    Prepared({'id': 'sysrq_triggered', 'description': 'The kernel was asked by /proc to crash, restart or kill', 'expression': 'open.file.path == ~"/**/sysrq-trigger" && open.flags & WRITING > 0', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0040-impact', 'technique:T1529-system-shutdown-reboot']}, 'open', ('open.file.path', 'open.flags',), _rule_87),
    Prepared({'id': 'container_socket_requested', 'description': 'A tool talks to the socket of the container runtime directly', 'expression': '(exec.file.name in ["curl", "wget", "nc", "ncat", "netcat", "nc.openbsd", "socat"] || exec.comm in ["curl", "wget", "nc", "ncat", "netcat", "nc.openbsd", "socat"]) && exec.args =~ r"(docker|containerd|crio|podman|cri-dockerd)[^ /]*\\.sock\\b"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0002-execution', 'tactic:TA0004-privilege-escalation', 'technique:T1609-container-administration-command', 'technique:T1611-escape-to-host']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_88),
    Prepared({'id': 'container_with_host_files', 'description': 'A container was started with the whole file system of its host', 'expression': '(exec.file.name in ["docker", "podman", "nerdctl", "ctr"] || exec.comm in ["docker", "podman", "nerdctl", "ctr"]) && exec.argv in ["run", "create"] && exec.args =~ r"((-v|--volume)[ =]/:|(src|source)=/,|--mount[ =][^ ]*(src|source)=/( |$))"', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0004-privilege-escalation', 'technique:T1610-deploy-container', 'technique:T1611-escape-to-host']}, 'exec', ('exec.args', 'exec.argv', 'exec.comm', 'exec.file.name',), _rule_89),
    Prepared({'id': 'history_disabled', 'description': 'A shell was started without a history of its commands', 'expression': '(exec.file.name in SHELLS || exec.comm in SHELLS) && exec.envp in ["HISTFILE=/dev/null", "HISTFILE=", "HISTSIZE=0", "HISTFILESIZE=0"] && process.parent.envp not in ["HISTFILE=/dev/null", "HISTFILE=", "HISTSIZE=0", "HISTFILESIZE=0"]', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1562.003-impair-command-history-logging']}, 'exec', ('exec.comm', 'exec.envp', 'exec.file.name', 'process.parent.envp',), _rule_90),
    Prepared({'id': 'history_emptied', 'description': 'The history of commands was emptied', 'expression': 'open.file.path in HISTORIES && open.flags & O_TRUNC > 0 && (open.flags & O_CREAT == 0 || open.file.destination.mode != 0600)', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.003-clear-command-history']}, 'open', ('open.file.destination.mode', 'open.file.path', 'open.flags',), _rule_91),
    Prepared({'id': 'history_removed', 'description': 'A command removes the history of commands or turns it off', 'expression': '(((exec.file.name in ["rm", "shred", "unlink", "srm", "wipe", "truncate", "ln"] || exec.comm in ["rm", "shred", "unlink", "srm", "wipe", "truncate", "ln"]) && exec.args =~ r"(^|[ /])(\\.[a-z]+_history|fish_history)( |$)") || ((exec.file.name in SHELLS || exec.comm in SHELLS) && exec.args =~ r"(unset +HISTFILE|history +-[a-z]*c\\b|HISTFILE=/dev/null|HISTSIZE=0|set \\+o history)"))', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.003-clear-command-history', 'technique:T1562.003-impair-command-history-logging']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name',), _rule_92),
    Prepared({'id': 'log_emptied', 'description': 'A log of logins or of the system was emptied', 'expression': 'open.file.path in LOGIN_RECORDS && open.flags & O_TRUNC > 0 && process.file.path not in LOG_KEEPERS && process.ancestors.file.path not in LOG_KEEPERS && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.002-clear-linux-or-mac-system-logs']}, 'open', ('open.file.path', 'open.flags', 'process.ancestors.file.path', 'process.file.path',), _rule_93),
    Prepared({'id': 'log_removed', 'description': 'A command removes logs of logins or of the system', 'expression': '(exec.file.name in ["rm", "shred", "unlink", "srm", "wipe", "truncate"] || exec.comm in ["rm", "shred", "unlink", "srm", "wipe", "truncate"]) && exec.args =~ r"(/var/log/?( |$)|(/var/log|^|[ /])/?(wtmp|btmp|lastlog|auth\\.log|audit\\.log|syslog|secure)( |$)|/var/log/(messages|kern\\.log|audit|journal)/?( |$))" && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE && process.ancestors.file.path not in LOG_KEEPERS', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.002-clear-linux-or-mac-system-logs']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_94),
    Prepared({'id': 'security_tool_stopped', 'description': 'A service that protects or records was told to stop', 'expression': '(((exec.file.name in ["systemctl", "service", "initctl", "rc-service", "chkconfig"] || exec.comm in ["systemctl", "service", "initctl", "rc-service", "chkconfig"]) && exec.args =~ r"(stop|disable|mask|kill|off).*\\b(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)(\\.service)?( |$)|\\b(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)(\\.service)? (stop|off)") || ((exec.file.name in ["pkill", "killall", "skill"] || exec.comm in ["pkill", "killall", "skill"]) && exec.args =~ r"(^| )(auditd|apparmor|falco[a-z-]*|osqueryd|wazuh-agent|ossec[a-z-]*|clamav-[a-z]+|clamd|firewalld|ufw|nftables|rsyslog|syslog|systemd-journald|fail2ban|falcon-sensor|datadog-agent[a-z-]*|tetragon|sysmon|crowdsec|cbdaemon|mdatp|aide)$")) && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1562.001-disable-or-modify-tools']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_95),
    Prepared({'id': 'firewall_emptied', 'description': 'All rules of a firewall were removed', 'expression': '(((exec.file.name in ["iptables", "ip6tables", ~"xtables-nft-mul*", "iptables-nft", "iptables-legacy", ~"xtables-legacy-*"] || exec.comm in ["iptables", "ip6tables", ~"xtables-nft-mul*", "iptables-nft", "iptables-legacy", ~"xtables-legacy-*"]) && exec.args =~ r"^(-w( [0-9]+)? |--wait(=[0-9]+)? )?(-t +(filter|raw|mangle) )?((-F|--flush)( INPUT| OUTPUT| FORWARD)?|-P (INPUT|FORWARD) ACCEPT)$") || ((exec.file.name == "nft" || exec.comm == "nft") && exec.args == "flush ruleset") || ((exec.file.name == "ufw" || exec.comm == "ufw") && exec.args =~ r"(^| )(disable|reset)$")) && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1562.004-disable-or-modify-system-firewall']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_96),
    Prepared({'id': 'access_control_disabled', 'description': 'Mandatory access control was switched off', 'expression': '(((exec.file.name == "setenforce" || exec.comm == "setenforce") && exec.args in ["0", "Permissive", "permissive"]) || (exec.file.name in ["aa-teardown", "aa-disable"] || exec.comm in ["aa-teardown", "aa-disable"]) || ((exec.file.name == "apparmor_parser" || exec.comm == "apparmor_parser") && exec.args_flags in ["R", "remove"])) && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1562.001-disable-or-modify-tools']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_97),
    Prepared({'id': 'audit_rules_removed', 'description': "The rules of the kernel's audit were removed or switched off", 'expression': '(exec.file.name == "auditctl" || exec.comm == "auditctl") && exec.args =~ r"^(-D|-e ?0|-e ?0 .*|-D .*)$" && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'high'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1562.012-disable-or-modify-linux-audit-system']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_98),
    Prepared({'id': 'timestamps_forged', 'description': 'The times of a system file were set to others', 'expression': '(exec.file.name == "touch" || exec.comm == "touch") && exec.args =~ r"(^| )(-[acm]*[rtd]|--reference|--date)[ =]?.* /(usr/)?(s?bin|lib|lib64|etc)/[^ ]+$" && process.file.path not in MAINTENANCE && process.ancestors.file.path not in MAINTENANCE', 'tags': {'severity': 'medium'}, 'product_tags': ['tactic:TA0005-defense-evasion', 'technique:T1070.006-timestomp']}, 'exec', ('exec.args', 'exec.comm', 'exec.file.name', 'process.ancestors.file.path', 'process.file.path',), _rule_99),
    Prepared({'id': 'disk_overwritten', 'description': 'A disk was overwritten', 'expression': '(((exec.file.name == "dd" || exec.comm == "dd") && exec.args =~ r"of=/dev/(sd|vd|xvd|hd|nvme|mmcblk|dm-|mapper/)" && exec.args =~ r"if=/dev/(zero|u?random)") || ((exec.file.name in ["shred", "wipefs", "blkdiscard"] || exec.comm in ["shred", "wipefs", "blkdiscard"]) && exec.args =~ r"/dev/(sd|vd|xvd|hd|nvme|mmcblk|dm-|mapper/)" && (exec.file.name != "wipefs" || exec.args_flags in ["a", "all", "f"])))', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0040-impact', 'technique:T1561.001-disk-content-wipe']}, 'exec', ('exec.args', 'exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_100),
    Prepared({'id': 'root_directory_removed', 'description': 'The removal of the root directory was asked for', 'expression': '(exec.file.name == "rm" || exec.comm == "rm") && exec.args_flags == "no-preserve-root"', 'tags': {'severity': 'critical'}, 'product_tags': ['tactic:TA0040-impact', 'technique:T1485-data-destruction']}, 'exec', ('exec.args_flags', 'exec.comm', 'exec.file.name',), _rule_101),
)
