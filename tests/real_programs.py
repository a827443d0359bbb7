"""Ten real programs at work, the same at each run, for comparing what two observers see of them.

Each is a shell script, run in an empty directory of its own; servers listen on loopback or on a socket there, say in a
pipe that they are ready, and are ended by it.
"""

from typing import NamedTuple, Tuple


class Changing(NamedTuple):
    """A part of a path that differs from run to run, and why; `pattern` is a regular expression."""

    pattern: str
    replacement: str
    why: str


class Untimed(NamedTuple):
    """Calls whose number depends on the time that passes: `text` is what they are about (a regular expression)."""

    event: str
    text: str
    why: str


class Program(NamedTuple):
    """A script with what it needs, and all in which two runs of it may differ."""

    name: str
    needs: str
    script: str
    changing: Tuple[Changing, ...] = ()
    untimed: Tuple[Untimed, ...] = ()
    as_nobody: bool = False


EVERYWHERE = (Changing(r"^/proc/\d+", "/proc/PID", "process numbers"),
              Changing(r"/(task|fd)/\d+", r"/\1/N", "thread numbers, descriptors"),
              Changing(r"(pipe|socket):\[\d+\]", r"\1:[N]", "numbers of pipes and sockets"))

PROGRAMS = (
    # git reads a file again that is as young as its index: here all are older, whatever it has done.
    Program("git", "git", r"""
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-02-03T00:00:00Z' GIT_COMMITTER_DATE='2001-02-03T00:00:00Z'
cat > .gitconfig <<'END'
[user]
    name = a
    email = a@example.org
[core]
    trustctime = false
    checkstat = minimal
[gc]
    auto = 0
[maintenance]
    auto = false
[pack]
    threads = 1
[index]
    threads = 1
END
git() { command git "$@"; touch -h -d 2001-02-03 a/b/* link; }
mkdir -p here/a/b there; cd here; for i in 1 2 3 4 5; do echo $i > a/b/$i; done; ln -s a/b link
touch -h -d 2001-02-03 link
git init -q -b main; git add .; git commit -q -m one; git checkout -q -b side; echo x >> a/b/1
touch -d 2001-02-04 a/b/1; git commit -q -a -m two; git checkout -q main; git merge -q side; git tag v1
git log -p > /dev/null; git status > /dev/null
git mv a/b/2 a/b/22; git rm -q a/b/3; git commit -q -m three; git gc -q; git diff HEAD~1 >/dev/null
git clone -q file://$PWD ../there; cd ../there; git fetch -q; git rev-parse HEAD""",
            (Changing(r"/tmp_(obj|pack|idx|rev)_\w{6}$", r"/tmp_\1_X", "names by mkstemp"),
             Changing(r"/(refs|packs)_\w{6}$", r"/\1_X", "names by mkstemp"),
             Changing(r"\.tmp-\d+-", ".tmp-PID-", "names by process numbers"),
             Changing(r"/\.git/t\w{6}$", "/.git/tX", "names by mkstemp"))),
    Program("gcc", "gcc", r"""
printf '#include <stdio.h>\n#include "y.h"\nint main(void) { return puts(Y) < 0; }\n' > x.c
echo '#define Y "y"' > y.h; echo 'int f(void) { return 1; }' > f.c
gcc -O2 -o x x.c f.c; ./x; gcc -c f.c; ar rcs libf.a f.o; gcc -shared -fPIC -o libf.so f.c; gcc -E x.c > x.i
gcc -o broken nowhere.c || true""",
            (Changing(r"/cc\w{6}(\.|$)", r"/ccX\1", "names by mkstemp"),
             Changing(r"(^|/)st\w{6}$", r"\1stX", "ar's names by mkstemp"))),
    Program("python", "python3", r"""
mkdir code; echo 'def f(): return 17' > code/m.py
cat > code/x.py <<'END'
import json, os, shutil, socket, sqlite3, subprocess, tempfile, threading
import m
def work(number):
    for turn in range(20):
        with open("file-%d-%d" % (number, turn), "w") as out: out.write(str(m.f()))
        os.rename("file-%d-%d" % (number, turn), "done-%d-%d" % (number, turn))
threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
for each in threads: each.start()
for each in threads: each.join()
subprocess.check_output("cat done-1-1; echo $0", shell=True)
try: subprocess.call(["no-such-program"])
except OSError: pass
base = sqlite3.connect("base"); base.execute("create table t (a)"); base.commit(); base.close()
os.mkdir("d"); os.chmod("d", 0o700); os.symlink("d", "s"); os.link("done-1-1", "h")
os.utime("h", (1, 1)); os.chown("h", 0, 0)
directory = os.open("d", os.O_RDONLY); os.mkdir("e", dir_fd=directory); os.rmdir("e", dir_fd=directory)
os.fchmod(directory, 0o755); os.fchdir(directory); os.chdir("..")
shutil.copytree("code", "copy"); shutil.rmtree("copy")
for name in ("missing", "d/x/y", "caf\udce9", "a\nb", "\x1b[31m"):
    try: open(name)
    except OSError: pass
for address in ("no-such-socket", "\0abstract"):
    try: socket.socket(socket.AF_UNIX).connect(address)
    except OSError: pass
END
python3 code/x.py""", (Changing(r"\.pyc\.\d+$", ".pyc.N", "names by addresses of objects"),)),
    Program("bash", "bash", r"""
cat > script <<'END'
#!/bin/bash
set -eu
declare -A seen; for name in $(ls); do seen[$name]=$(wc -c < "$name"); done
printf '%s\n' "${!seen[@]}" | sort | tee list | grep -c . > count
trap 'rm -f list' EXIT; diff <(id -u) <(cat count) || uname; read -r line < count; cat <<< here
(cd /; ls > /dev/null); while read -r word; do echo "$word"; done < list; missing_command || true; . ./more
exec 7<> file; echo x >&7; exec 7<&-; mkdir -p a/b/c; cp script a; mv a/script a/b; ln -s ../list a/l; chmod -R go-w a
rm -r a
END
echo 'more=1' > more; chmod +x script; ./script; bash script; bash -c 'echo $BASHPID > /dev/null'"""),
    Program("tar", "tar gzip", r"""
mkdir -p a/b/c; for i in 1 2 3 4 5 6 7; do echo $i > a/b/$i; done; ln -s b/1 a/l; ln a/b/1 a/h; chmod 4755 a/b/2
touch -h -d 2001-02-01 a/b/* a/l a/b a; tar cf a.tar a; tar czf a.tar.gz a; mkdir x y
tar xpf a.tar -C x; tar xzf a.tar.gz -C y
tar tf a.tar >/dev/null; tar --delete -f a.tar a/b/3; tar rf a.tar a/b/3; tar cf - a | tar xf - -C y
tar --remove-files -cf b.tar a; tar xf missing.tar || true"""),
    Program("curl", "curl python3", r"""
mkfifo ready; echo content > page
cat > server.py <<'END'
import http.server, socketserver
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
class Server(http.server.HTTPServer):
    address_family = 2
    def server_bind(self): socketserver.TCPServer.server_bind(self); self.server_name, self.server_port = "x", 0
server = Server(("127.0.0.1", 0), Quiet)
with open("port", "w") as out: out.write(str(server.server_address[1]))
with open("ready", "w") as out: out.write("ready\n")
for turn in range(5): server.handle_request()
END
python3 server.py & read -r line < ready; read -r port < port || true
curl -s -o got http://127.0.0.1:$port/page; cat got; curl -s http://127.0.0.1:$port/page
curl -s -I http://127.0.0.1:$port/ >/dev/null; curl -s -f http://127.0.0.1:$port/missing || true
curl -s -T page http://127.0.0.1:$port/page >/dev/null || true; wait
curl -s http://127.0.0.1:$port/page || echo gone; curl -s --unix-socket no-socket http://x/ || echo gone""",
            (Changing(r"^(AF_INET 127\.0\.0\.1) (?!0$)\d+$", r"\1 PORT", "the kernel chooses the port"),)),
    Program("redis", "redis-server redis-benchmark redis-cli", r"""
mkfifo ready
redis-server --port 0 --unixsocket $PWD/socket --dir $PWD --save '' --pidfile $PWD/pid --appendonly yes \
    --appendfsync no > ready & exec 9< ready
while read -r line <&9; do case $line in *'eady to accept'*) break;; esac; done
redis-benchmark -s $PWD/socket -q -n 1009 -c 7 -t set,get,lpush >/dev/null; redis-cli -s socket set a b
redis-cli -s socket save; redis-cli -s socket shutdown nosave; wait; cat <&9 >/dev/null""",
            (Changing(r"temp-(rewriteaof-)?\d+\.(rdb|aof)$", r"temp-\1PID.\2", "names by process numbers"),),
            (Untimed("open", r"/proc/(self|PID)/stat$", "the server looks at its memory ten times a second"),)),
    Program("postgres", "initdb postgres psql", r"""
export LC_ALL=C PGHOST=$PWD PGUSER=$(id -un) PGDATABASE=postgres; mkfifo ready
initdb -D data --no-sync --auth trust -U $PGUSER > /dev/null
postgres -D data -k $PWD -c listen_addresses= -c autovacuum=off -c fsync=off -c wal_writer_delay=10s \
    -c max_logical_replication_workers=0 -c bgwriter_lru_maxpages=0 -c checkpoint_timeout=1h > ready 2>&1 & server=$!
exec 9< ready
while read -r line <&9; do case $line in *'ready to accept'*) break;; esac; done
psql -X -q -c 'create table t (a int); insert into t select generate_series(1, 101); checkpoint'
psql -X -q -c 'select count(*) from t' -A -t; psql -X -q -c "copy t to '$PWD/copy'" -c '\! echo from psql'
psql -X -q -c 'drop table t'; psql -X -h $PWD/nowhere -c '' || true
kill -INT $server; wait $server; cat <&9 >/dev/null""",
            (Changing(r"PostgreSQL\.\d+", "PostgreSQL.N", "shared memory by random numbers"),
             Changing(r"(pg_internal\.init|xlogtemp)\.\d+$", r"\1.PID", "names by process numbers")), as_nobody=True),
    Program("rsync", "rsync", r"""
mkdir -p a/b/c; for i in 1 2 3 4 5 6 7; do echo $i > a/b/$i; done; ln -s b/1 a/l; ln a/b/1 a/h; chmod 600 a/b/2
touch -h -d 2001-02-01 a/b/* a/l a/b a; rsync -aH a/ copy; echo changed > a/b/3; touch -d 2001-02-02 a/b/3; rm a/b/4; touch -d 2001-02-03 a/b
rsync -aH --delete a/ copy; rsync -a --inplace a/ copy; rsync -n -a a/ other; rsync -a missing/ other || true""",
            (Changing(r"\.(\w+)\.\w{6}$", r".\1.X", "names by mkstemp"),)),
    Program("openssl", "openssl", r"""
export RANDFILE=$PWD/rnd
openssl genrsa -out key 2048; openssl req -x509 -new -key key -subj /CN=x -days 2 -out cert
openssl x509 -in cert -noout
openssl rand -out data 4099; openssl enc -aes-256-cbc -pbkdf2 -k secret -in data -out data.enc
openssl enc -d -aes-256-cbc -pbkdf2 -k secret -in data.enc -out again; cmp data again; openssl dgst -sha256 data
openssl dgst -sha256 -sign key -out sig data; openssl verify -CAfile cert cert
openssl ecparam -name prime256v1 -genkey -out ec
openssl pkcs12 -export -in cert -inkey key -passout pass:x -out p12; openssl x509 -in missing || true"""),
)
