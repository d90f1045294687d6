// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's end of the command channel: reads requests from a serial port,
 * runs each with sh in a process of its own and sends back what it printed and
 * how it ended. See harness/guest.py for the other end.
 *
 * A frame is { magic, id, type, length } and `length` bytes. Requests: 'c' runs
 * a command, 'i' appends to the standard input of the command that follows.
 * Answers: 'h' the agent is up, 'o' stdout, 'e' stderr, 'x' exit status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAGIC 0x72616d64 /* "dmar" */

struct header {
	uint32_t magic;
	uint32_t id;
	uint32_t type;
	uint32_t length;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* One write() a frame: the tty keeps those of concurrent commands apart. */
static void send_frame(int port, uint32_t id, char type, const void *data, uint32_t length)
{
	char frame[sizeof(struct header) + 4096];
	struct header head = {MAGIC, id, type, length};
	size_t size = sizeof(head) + length, done = 0;

	memcpy(frame, &head, sizeof(head));
	memcpy(frame + sizeof(head), data, length);
	while (done < size) {
		ssize_t n = write(port, frame + done, size - done);

		if (n > 0)
			done += n;
		else if (errno != EINTR)
			die("write to port");
	}
}

static void read_all(int port, void *data, size_t length)
{
	char *at = data;

	while (length) {
		ssize_t n = read(port, at, length);

		if (n > 0) {
			at += n;
			length -= n;
		} else if (n == 0 || errno != EINTR) {
			die("read from port");
		}
	}
}

/* Sends on what is in the pipe; returns 0 at its end or when it is empty. */
static int forward(int pipe, int port, uint32_t id, char type)
{
	char data[4096];
	ssize_t n = read(pipe, data, sizeof(data));

	if (n > 0)
		send_frame(port, id, type, data, n);
	return n > 0;
}

/*
 * Runs one command to its end. Its end is the shell's, not that of the pipes,
 * which a background process may keep open.
 */
static void run(int port, uint32_t id, const char *command, int input)
{
	int out[2], err[2], status;
	struct pollfd fds[3];
	uint32_t code;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) || pipe2(err, O_CLOEXEC | O_NONBLOCK))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		fcntl(out[1], F_SETFL, 0);
		fcntl(err[1], F_SETFL, 0);
		dup2(input, 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		setsid();
		execl("/bin/sh", "sh", "-c", command, NULL);
		die("sh");
	}
	if (pid < 0)
		die("fork");
	close(out[1]);
	close(err[1]);
	fds[0] = (struct pollfd){.fd = out[0], .events = POLLIN};
	fds[1] = (struct pollfd){.fd = err[0], .events = POLLIN};
	fds[2] = (struct pollfd){.fd = pidfd_open(pid, 0), .events = POLLIN};
	do {
		poll(fds, 3, -1);
		if (fds[0].revents && !forward(out[0], port, id, 'o'))
			fds[0].fd = -1;
		if (fds[1].revents && !forward(err[0], port, id, 'e'))
			fds[1].fd = -1;
	} while (!fds[2].revents);
	while (forward(out[0], port, id, 'o'))
		;
	while (forward(err[0], port, id, 'e'))
		;
	waitpid(pid, &status, 0);
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	send_frame(port, id, 'x', &code, sizeof(code));
}

static int open_port(const char *path)
{
	int port = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;

	if (port < 0 || tcgetattr(port, &raw))
		die(path);
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	tcsetattr(port, TCSANOW, &raw);
	return port;
}

static int empty_input(void)
{
	return memfd_create("stdin", MFD_CLOEXEC);
}

static void reap_children(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(int argc, char **argv)
{
	int port, input = empty_input();
	struct header head;

	if (argc != 2) {
		fprintf(stderr, "usage: agent PORT\n");
		return 2;
	}
	port = open_port(argv[1]);
	send_frame(port, 0, 'h', NULL, 0);
	for (;;) {
		char *data;

		read_all(port, &head, sizeof(head));
		data = calloc(1, head.length + 1);
		if (head.magic != MAGIC || !data)
			die("bad request");
		read_all(port, data, head.length);
		reap_children();
		if (head.type == 'i') {
			if (write(input, data, head.length) != (ssize_t)head.length)
				die("write input");
		} else {
			lseek(input, 0, SEEK_SET);
			if (fork() == 0) {
				run(port, head.id, data, input);
				_exit(0);
			}
			close(input);
			input = empty_input();
		}
		free(data);
	}
}
