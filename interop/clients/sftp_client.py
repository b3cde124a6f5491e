"""paramiko's SFTPClient, as an agent has it: `HOW PATH ...`."""

import os
import struct
import sys

import paramiko


def connect():
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.load_host_keys(os.path.expanduser("~/.ssh/known_hosts"))
    client.connect(
        os.environ["BUILD_SSH_HOST"],
        port=int(os.environ["BUILD_SSH_PORT"]),
        username=os.environ["BUILD_SSH_USER"],
        password=os.environ["BUILD_SSH_PASSWORD"],
        look_for_keys=False,
        allow_agent=False,
    )
    return client


def everything(client, far):
    sftp = client.open_sftp()
    near = os.path.expanduser("~/near")
    content = (b"a line of a file that is sent\n" * 100_001)[:3_000_000]
    with open(near, "wb") as file:
        file.write(content)
    sftp.put(near, far + "/a")
    sftp.get(far + "/a", near + "-back")
    with open(near + "-back", "rb") as file:
        assert file.read() == content
    assert sftp.listdir(far) == ["a"]
    sftp.mkdir(far + "/d")
    sftp.rename(far + "/a", far + "/d/b")
    sftp.chmod(far + "/d/b", 0o640)
    assert sftp.stat(far + "/d/b").st_mode & 0o777 == 0o640
    sftp.symlink(far + "/d/b", far + "/l")
    assert sftp.readlink(far + "/l") == far + "/d/b"
    assert sftp.normalize(far + "/l") == far + "/d/b"
    with sftp.open(far + "/d/b", "r+") as file:
        file.seek(5)
        assert file.read(4) == content[5:9]
        # Out of its order.
        file.seek(1_000_000)
        file.write(b"there")
        file.seek(10)
        file.write(b"here")
    with sftp.open(far + "/d/b", "rb") as file:
        assert file.readv([(1_000_000, 5), (10, 4), (500, 3)]) is not None
        file.seek(1_000_000)
        assert file.read(5) == b"there"
    try:
        sftp.stat(far + "/none")
        raise AssertionError("a file that is not there")
    except FileNotFoundError:
        pass
    sftp.truncate(far + "/d/b", 3)
    assert sftp.stat(far + "/d/b").st_size == 3
    sftp.remove(far + "/l")
    sftp.remove(far + "/d/b")
    sftp.rmdir(far + "/d")
    assert sftp.listdir(far) == []
    sftp.close()
    print("done")


def backwards(client, path, at):
    """Pieces of three bytes around `at`, from behind, put together."""
    sftp = client.open_sftp()
    with sftp.open(path, "rb", bufsize=0) as file:
        pieces = []
        for start in range(at + 30, at - 30, -3):
            file.seek(start)
            pieces.insert(0, file.read(3))
        sys.stdout.write(b"".join(pieces).decode())
    sftp.close()


def halves(client, path, at):
    """The second half of a value, alone, and then the first."""
    sftp = client.open_sftp()
    with sftp.open(path, "rb", bufsize=0) as file:
        file.seek(at + 5)
        second = file.read(40)
        file.seek(at)
        sys.stdout.write((file.read(5) + second).decode())
    sftp.close()


def goes(client, path):
    """Away in the middle of a file."""
    sftp = client.open_sftp()
    file = sftp.open(path, "rb", bufsize=0)
    file.read(1000)
    print("gone")
    sys.stdout.flush()
    os._exit(0)


def malformed(client, _path):
    sftp = client.open_sftp()
    # A request of a type that nobody has is refused, and no more.
    channel = sftp.get_channel()
    channel.sendall(struct.pack(">IBI", 5, 99, 77))
    assert channel.recv(4096)[4] == 101
    channel.sendall(struct.pack(">I", 0x7FFFFFFF) + b"x" * 100)
    ended = channel.recv_exit_status()
    assert ended == 255, ended
    # The connection is there.
    _, out, _ = client.exec_command("echo went on")
    print("ended and " + out.read().decode().strip())


def main():
    how, path, *rest = sys.argv[1:]
    client = connect()
    doing = {"all": everything, "backwards": backwards, "halves": halves, "goes": goes, "malformed": malformed}
    doing[how](client, path, *(int(at) for at in rest))
    client.close()


main()
