// SPDX-License-Identifier: GPL-2.0-only
/* Every odd machine is a row here: what was recorded, what is found, what is decided, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match.h"

/* Rows say what matters and leave the rest empty. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAIN_SECTORS  100000
#define SPARE_SECTORS 32768
#define MAX_DEVICES   8

/*
 * A device is a line: its name, and what it tells.
 *
 * size=SECTORS block=BYTES wwid= serial= partuuid= ptuuid= fsuuid= · part=NUMBER disk=NAME: a partition ·
 * usb · busy=WORD
 *
 * A spare, of a set A or B, is one that also has spare=A, and perhaps
 *
 * was=SERIAL: the one that was recorded, if not its own · gen=GENERATION · state=STATE · id=N peer=N:
 * whom it names as itself and the other · copies=N whole ones · lost · lost-table: its superblock is there ·
 * holds=SIGNATURE
 */
struct situation {
	const char *what;
	const char *was,
		*was_b; /* the main that A's and B's spares have recorded; default: wwid=w and wwid=x */
	const char *now; /* lines */
	const char *config, *command_line; /* where "A" is written for A's UUID */
	const char *wanted; /* by the user, by name or as "A" */
	const char *active; /* "SET MAIN SPARE" */
	unsigned int threshold;
	bool no_clones;
	/* whether the hardware vouches for the first one decided on */
	enum sure {
		EITHER_WAY,
		SURE,
		UNSURE,
	} sure;
	const char *decided; /* "SET: DECISION [MAIN]; ..." */
	const char *because; /* a part of one of the reasons */
};

#define SPARE "sdy spare=A\n"

/* clang-format off */

static const struct situation recognising_the_main[] = {
	{"the same disk", .was = "wwid=w fsuuid=f", .now = "sda wwid=w fsuuid=f\n" SPARE,
	 .decided = "A: activate sda", .because = "confidence 100"},
	{"the same disk at another port", .now = "sda wwid=x\nsdq wwid=w\n" SPARE,
	 .decided = "A: activate sdq", .because = "confidence 100"},
	{"known by its serial number only", .was = "serial=s", .now = "sda serial=s\n" SPARE,
	 .decided = "A: activate sda", .because = "confidence 100"},
	{"no hardware ids, but a PARTUUID", .was = "part=1 partuuid=p ptuuid=t",
	 .now = "vda1 part=1 partuuid=p ptuuid=t\n" SPARE, .decided = "A: activate vda1"},
	{"a logical volume, known by its name", .was = "wwid=LVM-root",
	 .now = "dm-3 wwid=LVM-root\n" SPARE, .decided = "A: activate dm-3"},
	{"a new file system on it", .was = "wwid=w fsuuid=f", .now = "sda wwid=w fsuuid=g\n" SPARE,
	 .decided = "A: activate sda"},
	{"a new partition table on it", .was = "wwid=w ptuuid=t",
	 .now = "sda wwid=w ptuuid=u\n" SPARE, .decided = "A: activate sda"},
	{"it was renumbered", .was = "part=1 wwid=w partuuid=p ptuuid=t",
	 .now = "sda2 part=2 wwid=w partuuid=p ptuuid=t\n" SPARE, .decided = "A: activate sda2"},
	{"it has grown", .now = "dm-0 wwid=w size=200000\n" SPARE, .decided = "A: activate dm-0",
	 .because = "confidence 90"},
	{"it has shrunk", .now = "dm-0 wwid=w size=99999\n" SPARE, .decided = "A: missing",
	 .because = "no device looks like"},
	{"only larger blocks", .now = "sda wwid=w block=4096\n" SPARE, .decided = "A: missing"},
	{"not there", .now = "sda wwid=x\n" SPARE, .decided = "A: missing"},
	{"not there, and named", .now = "sda wwid=x\n" SPARE, .config = "set A",
	 .decided = "A: missing", .because = "its main is not there"},
	{"another disk of the same size, and named", .now = "sda wwid=x fsuuid=f\n" SPARE,
	 .wanted = "home", .decided = "A: missing"},
	{"only its file system tells", .was = "fsuuid=f", .now = "vda fsuuid=f\n" SPARE,
	 .decided = "A: missing", .because = "confidence of 70 only, below the threshold of 90"},
	{"only its file system tells, and named", .was = "fsuuid=f", .now = "vda fsuuid=f\n" SPARE,
	 .config = "set A", .decided = "A: activate vda"},
	{"only its file system tells, and that will do", .was = "fsuuid=f",
	 .now = "vda fsuuid=f\n" SPARE, .threshold = 60, .decided = "A: activate vda"},
	{"only its file system tells, on two disks", .was = "fsuuid=f",
	 .now = "vda fsuuid=f\nvdb fsuuid=f\n" SPARE, .config = "set A", .decided = "A: conflict vda",
	 .because = "both /dev/vda and /dev/vdb could be its main"},
	{"only a PARTUUID, and that will not do", .was = "part=1 partuuid=p",
	 .now = "vda1 part=1 partuuid=p\n" SPARE, .threshold = 95, .decided = "A: missing",
	 .because = "below the threshold of 95"},
	{"nothing but its size", .was = "", .now = "vda\n" SPARE, .decided = "A: missing"},
	{"nothing but its size, and named", .was = "", .now = "vda\n" SPARE, .wanted = "home",
	 .decided = "A: activate vda"},
	{"nothing but its size, twice", .was = "", .now = "vda\nvdb\n" SPARE, .wanted = "home",
	 .decided = "A: conflict vda"},
	{"nothing but its size, and a larger one", .was = "", .now = "vda\nvdb size=100008\n" SPARE,
	 .wanted = "home", .decided = "A: activate vda"},
};

static const struct situation clones_and_neighbours[] = {
	{"main cloned, both there", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\nsdb wwid=w fsuuid=f\n" SPARE, .decided = "A: activate sdb"},
	{"main cloned, both there, and named", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\nsdb wwid=w fsuuid=f\n" SPARE, .config = "set A",
	 .decided = "A: activate sdb"},
	{"main cloned, only the clone there", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\n" SPARE, .decided = "A: missing",
	 .because = "confidence of 30 only"},
	{"main cloned, only the clone there, and named", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\n" SPARE, .config = "set A", .decided = "A: activate sda"},
	{"main cloned, only the clone there, named, but its own may come", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\n" SPARE, .config = "set A", .no_clones = true,
	 .decided = "A: missing", .because = "its main is not there, but /dev/sda, which may be a clone"},
	{"a clone of the main on a disk without ids, named, but its own may come",
	 .was = "part=1 wwid=w partuuid=p", .now = "sda1 part=1 partuuid=p\n" SPARE,
	 .config = "set A main=partuuid:p", .no_clones = true, .decided = "A: missing",
	 .because = "its main is not there, but /dev/sda1, which may be a clone"},
	{"its wwid is another with this kernel, and it is named", .was = "wwid=w serial=s fsuuid=f",
	 .now = "sda wwid=x serial=s fsuuid=f\n" SPARE, .config = "set A", .no_clones = true,
	 .decided = "A: activate sda"},
	{"main cloned, and it is what the config names", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\n" SPARE, .config = "set A main=wwid:x", .no_clones = true,
	 .decided = "A: activate sda"},
	{"main cloned, and its own has come", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\nsdb wwid=w fsuuid=f\n" SPARE, .config = "set A", .no_clones = true,
	 .decided = "A: activate sdb"},
	{"main cloned with its partitions", .was = "part=1 wwid=w partuuid=p ptuuid=t",
	 .now = "sda1 part=1 wwid=x partuuid=p ptuuid=t\n" SPARE, .decided = "A: missing",
	 .because = "below the threshold"},
	{"main cloned, nothing tells the two apart", .was = "part=1 partuuid=p",
	 .now = "vda1 part=1 partuuid=p disk=vda\nvdb1 part=1 partuuid=p disk=vdb\n" SPARE,
	 .decided = "A: conflict vda1", .because = "both /dev/vda1 and /dev/vdb1"},
	{"main cloned, nothing tells, but the config does", .was = "part=1 partuuid=p",
	 .now = "vda1 part=1 partuuid=p disk=vda\nvdb1 part=1 partuuid=p disk=vdb\n" SPARE,
	 .config = "set A main=path:/dev/vdb1", .decided = "A: activate vdb1"},
	{"two paths to one main", .now = "sda wwid=w\nsdb wwid=w\n" SPARE, .decided = "A: conflict sda"},
	{"two paths to one main, and named", .now = "sda wwid=w\nsdb wwid=w\n" SPARE,
	 .config = "set A", .decided = "A: conflict sda"},
	{"the neighbour of a main that is gone", .was = "part=1 serial=s partuuid=p ptuuid=t",
	 .now = "vda2 part=2 serial=s partuuid=q ptuuid=t\n" SPARE, .wanted = "home",
	 .decided = "A: missing"},
	{"a neighbour that only its number tells", .was = "part=1 serial=s ptuuid=t",
	 .now = "vda2 part=2 serial=s ptuuid=t\n" SPARE, .wanted = "home", .decided = "A: missing"},
	{"a neighbour that the config names", .was = "part=1 serial=s ptuuid=t",
	 .now = "vda2 part=2 serial=s ptuuid=t\n" SPARE, .config = "set A main=path:/dev/vda2",
	 .decided = "A: activate vda2"},
	{"the whole disk of a main that is gone", .was = "part=1 wwid=w partuuid=p ptuuid=t",
	 .now = "sda wwid=w ptuuid=t size=500000\n" SPARE, .decided = "A: missing"},
	{"two mains of one size change places", .was = "wwid=w", .was_b = "wwid=x",
	 .now = "sda wwid=x\nsdb wwid=w\nsdy spare=A\nsdz spare=B name=b\n",
	 .decided = "A: activate sdb; B: activate sda"},
	{"spare cloned, both there", .now = "sda wwid=w\nsdx spare=A was=s1 serial=s1\n"
					    "sdy spare=A was=s1 serial=s2\n",
	 .decided = "A: activate sda; A: skip", .because = "/dev/sdy is a copy"},
	{"spare cloned, and the clone written to since", .now = "sda wwid=w\n"
	 "sdx spare=A was=s1 serial=s1\nsdy spare=A was=s1 serial=s2 gen=9\n",
	 .decided = "A: activate sda; A: skip", .because = "/dev/sdy is a copy"},
	{"spare cloned, only the clone there", .now = "sda wwid=w\nsdy spare=A was=s1 serial=s2\n",
	 .decided = "A: conflict sda", .because = "/dev/sdy may be a copy of its spare"},
	{"spare cloned, only the clone there, and named", .now = "sda wwid=w\n"
	 "sdy spare=A was=s1 serial=s2\n", .config = "set A", .decided = "A: activate sda"},
	{"spare cloned, only the clone there, named, but its own may come", .now = "sda wwid=w\n"
	 "sdy spare=A was=s1 serial=s2\n", .config = "set A main=wwid:w", .no_clones = true,
	 .decided = "A: missing", .because = "its spare is not there, but /dev/sdy, which may be a clone"},
	{"a clone of the spare on a disk without ids, named, but its own may come",
	 .now = "sda wwid=w\nsdy spare=A was=s1 serial=\n", .config = "set A main=wwid:w", .no_clones = true,
	 .decided = "A: missing", .because = "its spare is not there, but /dev/sdy, which may be a clone"},
	{"a clone of the spare on a disk without ids, and nobody named the set",
	 .now = "sda wwid=w\nsdy spare=A was=s1 serial=\n", .decided = "A: conflict sda",
	 .because = "/dev/sdy may be a copy of its spare"},
	{"spare cloned, and it is what the config names", .now = "sda wwid=w\n"
	 "sdy spare=A was=s1 serial=s2\n", .config = "set A spare=serial:s2", .no_clones = true,
	 .decided = "A: activate sda"},
	{"spare cloned, nothing tells the two apart", .now = "sda wwid=w\nsdx spare=A serial=\n"
	 "sdy spare=A serial=\n", .decided = "A: conflict sda; A: conflict sda",
	 .because = "both /dev/sdx and /dev/sdy claim to be its spare"},
	{"spare cloned, nothing tells, and newer is no argument", .now = "sda wwid=w\n"
	 "sdx spare=A serial=\nsdy spare=A serial= gen=8\n",
	 .decided = "A: conflict sda; A: conflict sda"},
	{"main and spare cloned, all four there", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\nsdb wwid=w fsuuid=f\nsdx spare=A was=s1 serial=s2\n"
		"sdy spare=A was=s1 serial=s1\n",
	 .decided = "A: skip; A: activate sdb"},
	{"main and spare cloned, only the clones there", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\nsdx spare=A was=s1 serial=s2\n", .decided = "A: conflict"},
	{"main and spare cloned, where nothing tells", .was = "part=1 partuuid=p",
	 .now = "vda1 part=1 partuuid=p disk=vda\nvdb1 part=1 partuuid=p disk=vdb\n"
		"vdx spare=A serial=\nvdy spare=A serial=\n",
	 .decided = "A: conflict; A: conflict"},
};

static const struct situation spares[] = {
	{"two are where they were recorded", .now = "sda wwid=w\nsdx spare=A\nsdy spare=A gen=8\n",
	 .decided = "A: skip; A: activate sda", .because = "/dev/sdx is older than /dev/sdy"},
	{"a newer one on a stick, that attests itself", .now = "sda wwid=w\nsdx spare=A\nsdy spare=A gen=8 usb\n",
	 .decided = "A: conflict sda; A: skip", .because = "both /dev/sdx and /dev/sdy claim to be its spare"},
	{"a newer one on a stick, and the set is named", .now = "sda wwid=w\nsdx spare=A\nsdy spare=A gen=8 usb\n",
	 .config = "set A main=wwid:w", .decided = "A: conflict sda; A: conflict sda"},
	{"a newer one on a stick, that the config does not name", .now = "sda wwid=w\n"
	 "sdx spare=A serial=s1\nsdy spare=A gen=8 usb\n", .config = "set A main=wwid:w spare=serial:s1",
	 .decided = "A: activate sda; A: skip", .because = "/dev/sdy is not the one"},
	{"an older one on a stick", .now = "sda wwid=w\nsdx spare=A gen=8\nsdy spare=A usb\n",
	 .config = "set A main=wwid:w", .decided = "A: activate sda; A: skip"},
	{"one was replaced", .now = "sda wwid=w\nsdx spare=A state=superseded\nsdy spare=A\n",
	 .decided = "A: skip; A: activate sda", .because = "/dev/sdx was replaced by another one"},
	{"only the one that was replaced", .now = "sda wwid=w\nsdx spare=A state=superseded\n",
	 .decided = "A: skip"},
	{"only the one that was replaced, and named", .now = "sda wwid=w\nsdx spare=A state=superseded\n",
	 .config = "set A", .decided = "A: skip"},
	{"two that say that the other took their place", .now = "sda wwid=w\n"
	 "sdx spare=A state=superseded id=1 peer=2\nsdy spare=A state=superseded id=2 peer=1\n",
	 .config = "set A", .decided = "A: skip; A: skip"},
	{"only one that was being filled", .now = "sda wwid=w\nsdx spare=A state=incoming id=2 peer=1\n",
	 .config = "set A", .decided = "A: skip", .because = "which alone knows whether that ended"},
	{"a move that was cut before its turn", .now = "sda wwid=w\n"
	 "sdx spare=A state=migrating id=1 peer=2\nsdy spare=A state=incoming id=2 peer=1 gen=8\n",
	 .decided = "A: activate sda; A: skip", .because = "was being filled from /dev/sdx"},
	{"a move that was cut in its turn", .now = "sda wwid=w\n"
	 "sdx spare=A state=superseded id=1 peer=2\nsdy spare=A state=incoming id=2 peer=1 gen=8\n",
	 .decided = "A: skip; A: activate sda"},
	{"the config still names the one before", .now = "sda wwid=w\n"
	 "sdx spare=A state=superseded id=1 peer=2\nsdy spare=A state=incoming id=2 peer=1 gen=8\n",
	 .config = "set A spare=path:/dev/sdx", .decided = "A: skip; A: activate sda"},
	{"the one before speaks of another", .now = "sda wwid=w\n"
	 "sdx spare=A state=superseded id=1 peer=3\nsdy spare=A state=incoming id=2 peer=1 gen=8\n",
	 .decided = "A: skip; A: skip"},
	{"the one before could not be told any more", .now = "sda wwid=w\n"
	 "sdx spare=A state=migrating id=1 peer=3\nsdy spare=A id=2 peer=1 gen=8\n",
	 .decided = "A: skip; A: activate sda", .because = "/dev/sdy was written last"},
	{"nor is the disk of the new one known", .now = "sda wwid=w\n"
	 "sdx spare=A state=migrating id=1 peer=3\nsdy spare=A serial= id=2 peer=1 gen=8\n",
	 .decided = "A: conflict sda; A: conflict sda"},
	{"and the new one has begun to move on", .now = "sda wwid=w\n"
	 "sdx spare=A state=migrating id=1 peer=3\n"
	 "sdy spare=A serial= state=migrating id=2 peer=1 gen=8\n",
	 .decided = "A: conflict sda; A: conflict sda"},
	{"a move that was taken back", .now = "sda wwid=w\nsdx spare=A id=1 gen=9\n"
					      "sdy spare=A id=2 peer=1 gen=8\n",
	 .decided = "A: activate sda; A: skip"},
	{"a move that was taken back by a disk unknown", .now = "sda wwid=w\n"
	 "sdx spare=A serial= id=1 gen=9\nsdy spare=A id=2 peer=1 gen=8\n",
	 .decided = "A: conflict sda; A: conflict sda"},
	{"a copy from before the turn", .now = "sda wwid=w\n"
	 "sdw spare=A was=s1 serial=s0 state=migrating id=1 peer=2\n"
	 "sdx spare=A was=s1 serial=s1 state=superseded id=1 peer=2\n"
	 "sdy spare=A state=incoming id=2 peer=1 gen=8\n",
	 .decided = "A: skip; A: skip; A: activate sda"},
	{"metadata lost", .now = "sda wwid=w\nsdx spare=A lost\n", .decided = "A: damaged",
	 .because = "'dmremap examine /dev/sdx' shows it"},
	{"lost on the one that was written last", .now = "sda wwid=w\nsdx spare=A\nsdy spare=A gen=9 lost-table\n",
	 .config = "set A", .decided = "A: skip; A: damaged", .because = "cannot be used"},
	{"lost on another than the set's own", .now = "sda wwid=w\nsdx spare=A\nsdy spare=A lost\n",
	 .decided = "A: activate sda; A: skip", .because = "the set's own spare is /dev/sdx"},
	{"lost on another, and nothing tells which is the own", .now = "sda wwid=w\n"
	 "sdx spare=A serial=\nsdy spare=A lost\n", .decided = "A: conflict sda; A: damaged",
	 .because = "/dev/sdy holds the remains of the same set"},
	{"it holds a file system by now", .now = "sda wwid=w\nsdx spare=A holds=ext4 copies=4\n",
	 .decided = "A: conflict", .because = "also holds ext4"},
	{"a file on the main holds copies, newer ones", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f size=100000 spare=A holds=ext4 copies=4 gen=99\nsdx spare=A\n",
	 .config = "set A", .decided = "A: skip; A: activate sda", .because = "the set's spare, which is /dev/sdx"},
	{"a file on a partition that is the main, by the places of the disk", .was = "part=2 wwid=w partuuid=p",
	 .now = "sda wwid=w size=200000 spare=A holds=gpt copies=4 gen=99\nsda2 part=2 disk=sda wwid=w partuuid=p\nsdx spare=A\n",
	 .decided = "A: skip; A: activate sda2"},
	{"a file on the main holds copies of another set", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f size=100000 spare=B holds=ext4 copies=4\nsdx spare=A\n",
	 .decided = "B: conflict; A: activate sda", .because = "also holds ext4"},
	{"a file on another disk holds copies, newer ones", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdb spare=A holds=ext4 copies=4 gen=99\nsdx serial=s spare=A\n",
	 .config = "set A spare=serial:s", .decided = "A: skip; A: activate sda"},
	{"a file on another disk holds copies, newer ones, and nobody says which is the spare", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdb spare=A holds=ext4 copies=4 gen=99\nsdx spare=A\n",
	 .config = "set A", .decided = "A: skip; A: activate sda", .because = "the set's spare, which is /dev/sdx"},
	{"a file on another disk holds copies, newer ones, and nobody names the set", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdb spare=A holds=ext4 copies=4 gen=99\nsdx spare=A\n",
	 .decided = "A: skip; A: activate sda"},
	{"it was replaced, and its successor was made into a file system", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdx spare=A id=1 state=superseded peer=2\nsdy spare=A id=2 peer=1 holds=ext4 copies=4 gen=9\n",
	 .config = "set A", .decided = "A: skip; A: activate sda"},
	{"it could not be told that it was replaced, and its successor was made into a file system", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdx spare=A id=1 state=migrating\nsdy spare=A id=2 peer=1 holds=ext4 copies=4 gen=9\n",
	 .config = "set A", .decided = "A: skip; A: activate sda", .because = "/dev/sdy was written last"},
	{"a clone is there, and the spare itself holds a file system by now", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdx was=s1 serial=s1 spare=A holds=ext4 copies=4 gen=9\nsdy was=s1 serial=s2 spare=A gen=5\n",
	 .config = "set A", .decided = "A: activate sda; A: skip"},
	{"only what may be forged is there", .now = "sda wwid=w\nsdx spare=A holds=ext4 copies=4\n",
	 .config = "set A", .sure = UNSURE, .decided = "A: activate sda"},
	{"it holds a file system by now, and is named", .now = "sda wwid=w\n"
	 "sdx spare=A holds=ext4 copies=4\n", .config = "set A", .decided = "A: activate sda"},
	{"four copies are damaged", .now = "sda wwid=w\nsdx spare=A copies=1\n",
	 .decided = "A: activate sda", .because = "1 of 5 copies whole"},
	{"not the one that the config names", .now = "sda wwid=w\nsdx spare=A\n",
	 .config = "set A spare=serial:other", .decided = "A: skip",
	 .because = "not the one that /etc/dm-remap.conf names"},
	{"another set's main", .now = "sda wwid=w\nsdx spare=A wwid=x size=100000\nsdy spare=B name=b\n",
	 .decided = "A: activate sda; B: missing"},
};

static const struct situation who_may[] = {
	{"main mounted", .now = "sda wwid=w busy=mounted\n" SPARE, .decided = "A: skip",
	 .because = "main /dev/sda is mounted"},
	{"main mounted, and named", .now = "sda wwid=w busy=mounted\n" SPARE, .config = "set A",
	 .decided = "A: skip"},
	{"main not answering", .now = "sda wwid=w busy=silent\n" SPARE, .config = "set A",
	 .decided = "A: skip", .because = "main /dev/sda is silent"},
	{"spare held by another", .now = "sda wwid=w\nsdx spare=A busy=held\n", .config = "set A",
	 .decided = "A: skip", .because = "spare /dev/sdx is held"},
	{"main removable", .now = "sda wwid=w usb\n" SPARE, .decided = "A: skip",
	 .because = "its main /dev/sda is removable"},
	{"main removable, and named", .now = "sda wwid=w usb\n" SPARE, .config = "set A",
	 .decided = "A: activate sda"},
	{"spare removable", .now = "sda wwid=w\nsdx spare=A usb\n", .decided = "A: skip",
	 .because = "its spare /dev/sdx is removable"},
	{"spare removable, and named", .now = "sda wwid=w\nsdx spare=A usb\n", .config = "set A",
	 .decided = "A: activate sda"},
	{"a stick that claims the root disk", .was_b = "wwid=w",
	 .now = "sda wwid=w\nsdx spare=A\nsdy spare=B usb\n",
	 .decided = "A: activate sda; B: skip"},
	{"a stick that claims the root disk of nobody", .now = "sda wwid=w\nsdy spare=A usb\n",
	 .decided = "A: skip"},
	{"a stick with the root's own set", .now = "sda wwid=w\nsdx spare=A was=s1 serial=s1\n"
	 "sdy spare=A was=s1 serial=s2 gen=99 usb\n", .decided = "A: activate sda; A: skip"},
	{"nothing there", .now = "sda wwid=w\n", .decided = ""},
	{"no set may be found", .now = "sda wwid=w\n" SPARE, .config = "auto no",
	 .decided = "A: skip", .because = "nobody named it"},
	{"another set is named", .now = "sda wwid=w\n" SPARE, .config = "set B name=needed",
	 .decided = "A: skip; B: missing", .because = "its spare is not there"},
	{"another set is named, and all may be found", .now = "sda wwid=w\n" SPARE,
	 .config = "auto yes\nset B name=needed", .decided = "A: activate sda; B: missing"},
	{"the command line names another than the config", .now = "sda wwid=w\n" SPARE,
	 .config = "set A", .command_line = "rd.dmremap.uuid=B", .decided = "A: skip; B: missing"},
	{"the command line names another, and all may be found", .now = "sda wwid=w\n" SPARE,
	 .config = "set A", .command_line = "rd.dmremap.uuid=B rd.dmremap.auto=1",
	 .decided = "A: activate sda; B: missing"},
	{"the user asks for another", .now = "sda wwid=w\n" SPARE, .wanted = "B", .decided = ""},
	{"the user asks by UUID", .now = "sda wwid=w\n" SPARE, .config = "auto no", .wanted = "A",
	 .decided = "A: activate sda"},
	{"the config's main is not there", .now = "sda wwid=w\n" SPARE,
	 .config = "set A main=path:/dev/sdq", .decided = "A: missing"},
	{"active already", .now = "sda wwid=w busy=held\nsdx spare=A busy=held\n",
	 .active = "A sda sdx", .decided = "A: active sda", .because = "/dev/mapper/running"},
	{"active already, and a clone of its spare comes", .now = "sda wwid=w busy=held\n"
	 "sdx spare=A busy=held\nsdy spare=A gen=9\n", .active = "A sda sdx",
	 .decided = "A: active sda; A: skip", .because = "with another spare than /dev/sdy"},
	{"active already, and named, and its spare has gone", .now = "sda wwid=w busy=held\n",
	 .config = "set A", .active = "A sda sdx", .decided = "A: active sda"},
	{"two sets for one main", .was_b = "wwid=w", .now = "sda wwid=w\nsdx spare=A\nsdy spare=B\n",
	 .decided = "A: conflict sda; B: conflict sda", .because = "claims the main /dev/sda as well"},
	{"two sets for one main, one of them named", .was_b = "wwid=w",
	 .now = "sda wwid=w\nsdx spare=A\nsdy spare=B\n", .config = "auto yes\nset B",
	 .decided = "A: skip; B: activate sda"},
	{"two sets for one main, of which it knows one", .was_b = "fsuuid=f",
	 .now = "sda wwid=w fsuuid=f\nsdx spare=A\nsdy spare=B\n", .threshold = 60,
	 .decided = "A: activate sda; B: skip"},
	{"two sets for a disk and its partition", .was = "wwid=w size=200000",
	 .was_b = "part=1 wwid=w partuuid=p",
	 .now = "sda wwid=w size=200000\nsda1 part=1 disk=sda wwid=w partuuid=p\n"
		"sdx spare=A\nsdy spare=B name=b\n",
	 .decided = "A: conflict sda; B: conflict sda1"},
	{"two sets of one name", .now = "sda wwid=w\nsdb wwid=x\nsdx spare=A\nsdy spare=B\n",
	 .decided = "A: conflict sda; B: conflict sdb", .because = "claims the name home as well"},
	{"two sets of one name, one of them renamed", .now = "sda wwid=w\nsdb wwid=x\nsdx spare=A\n"
	 "sdy spare=B\n", .config = "auto yes\nset B name=other",
	 .decided = "A: activate sda; B: activate sdb"},
};

static const struct situation before_all_devices_are_seen[] = {
	{"main and spare themselves", .now = "sda wwid=w\n" SPARE, .sure = SURE,
	 .decided = "A: activate sda"},
	{"a new file system on the main", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=w fsuuid=g\n" SPARE, .sure = SURE, .decided = "A: activate sda"},
	{"a PARTUUID, which a copy of the main has, too", .was = "part=1 partuuid=p",
	 .now = "vda1 part=1 partuuid=p\n" SPARE, .sure = UNSURE,
	 .decided = "A: activate vda1"},
	{"nothing tells the spare from a copy", .now = "sda wwid=w\nsdy spare=A serial=\n", .sure = UNSURE,
	 .decided = "A: activate sda"},
	{"a copy of the main, and named", .was = "wwid=w fsuuid=f",
	 .now = "sda wwid=x fsuuid=f\n" SPARE, .config = "set A", .sure = UNSURE,
	 .decided = "A: activate sda"},
	{"a copy of the spare, and named", .now = "sda wwid=w\nsdy spare=A was=s1 serial=s2\n",
	 .config = "set A", .sure = UNSURE, .decided = "A: activate sda"},
	{"a main that has grown", .now = "sda wwid=w size=200000\n" SPARE, .sure = SURE,
	 .decided = "A: activate sda"},
	{"the hardware vouches, but it is in use", .now = "sda wwid=w busy=mounted\n" SPARE,
	 .decided = "A: skip"},
};

/* clang-format on */

static const uint8_t uuids[2][DMR_UUID_SIZE] = {"set A..........", "set B.........."};

/* A machine: devices, and which of them are spares of which set. */
struct machine {
	struct policy policy;
	struct device device[MAX_DEVICES];
	size_t devices;
	struct found_spare spare[MAX_DEVICES];
	struct dmr_super super[MAX_DEVICES];
	size_t spares;
	struct active_set active;
};

/* The value of @word, if that is @key's, or NULL. */
static const char *value_of(const char *word, const char *key)
{
	size_t n = strlen(key);

	return strncmp(word, key, n) || word[n] != '=' ? NULL : word + n + 1;
}

static struct device *find_device(struct machine *m, const char *name)
{
	for (size_t i = 0; i < m->devices; i++) {
		if (!strcmp(m->device[i].path + strlen("/dev/"), name))
			return &m->device[i];
	}
	return NULL;
}

static void tell_device(struct machine *m, struct device *d, const char *word)
{
	const struct {
		const char *key;
		char *text;
		size_t size;
	} texts[] = {
		{"wwid", d->wwid, sizeof(d->wwid)},
		{"serial", d->serial, sizeof(d->serial)},
		{"partuuid", d->partuuid, sizeof(d->partuuid)},
		{"ptuuid", d->ptuuid, sizeof(d->ptuuid)},
		{"fsuuid", d->fsuuid, sizeof(d->fsuuid)},
		{"busy", d->in_use, sizeof(d->in_use)},
	};
	const char *value;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		value = value_of(word, texts[i].key);
		if (value)
			snprintf(texts[i].text, texts[i].size, "%s", value);
	}
	if ((value = value_of(word, "size")))
		d->sectors = atoi(value);
	if ((value = value_of(word, "block")))
		d->block = atoi(value);
	if ((value = value_of(word, "part")))
		d->part_number = atoi(value);
	if ((value = value_of(word, "disk")) && m && find_device(m, value))
		d->disk = find_device(m, value)->dev;
	if (!strcmp(word, "usb"))
		d->removable = true;
}

static uint32_t state_of(const char *text)
{
	return !strcmp(text, "incoming")     ? DMR_STATE_INCOMING
	       : !strcmp(text, "migrating")  ? DMR_STATE_MIGRATING
	       : !strcmp(text, "superseded") ? DMR_STATE_SUPERSEDED
					     : DMR_STATE_CLEAN;
}

static void tell_spare(struct found_spare *found, struct dmr_super *s, const char *word)
{
	const char *value;

	if ((value = value_of(word, "was")))
		strcpy(s->spare.serial, value);
	if ((value = value_of(word, "gen")))
		s->header.generation = cpu_to_le64(atoi(value));
	if ((value = value_of(word, "state")))
		s->state = cpu_to_le32(state_of(value));
	if ((value = value_of(word, "id")))
		s->spare_uuid[0] = atoi(value);
	if ((value = value_of(word, "peer")))
		s->peer_uuid[0] = atoi(value);
	if ((value = value_of(word, "name")))
		strcpy(s->name, value);
	if ((value = value_of(word, "holds")))
		strcpy(found->signature, value);
	if ((value = value_of(word, "copies"))) {
		found->valid_copies = atoi(value);
		found->verdict = VERDICT_REPAIRABLE;
	}
	if (!strncmp(word, "lost", 4)) {
		found->verdict = VERDICT_LOST;
		found->reason = DMR_LOST;
	}
	if (!strcmp(word, "lost"))
		found->super = NULL;
}

/* What set number @set has recorded of its main. */
static struct device recorded(const struct situation *row, int set)
{
	const char *was = set ? row->was_b : row->was;
	char text[128], *rest = text, *word;
	struct device d = {.sectors = MAIN_SECTORS};

	snprintf(text, sizeof(text), "%s", was ? was : set ? "wwid=x" : "wwid=w");
	while ((word = strsep(&rest, " ")))
		tell_device(NULL, &d, word);
	return d;
}

/* @words are looked at twice: a spare is made of what the device tells. */
static void add_spare(struct machine *m, const struct situation *row, const struct device *d,
		      int set, char **words, int count)
{
	struct dmr_super *s = &m->super[m->spares];
	struct found_spare *found = &m->spare[m->spares++];
	struct device main = recorded(row, set);

	*s = (struct dmr_super){
		.header.generation = cpu_to_le64(7),
		.length = cpu_to_le64(main.sectors),
		.main_block = cpu_to_le32(512),
		.spare_sectors = cpu_to_le64(d->sectors),
		.name = "home",
	};
	device_identity(&main, &s->main);
	device_identity(d, &s->spare);
	*found = (struct found_spare){
		.device = d, .super = s, .verdict = VERDICT_CLEAN, .valid_copies = 5};
	memcpy(found->uuid, uuids[set], sizeof(found->uuid));
	for (int i = 1; i < count; i++)
		tell_spare(found, s, words[i]);
}

static void add_device(struct machine *m, const struct situation *row, char *line)
{
	struct device *d = &m->device[m->devices++];
	char *words[16];
	int count = 0, set = -1;

	while (count < 16 && (words[count] = strsep(&line, " ")))
		count++;
	*d = (struct device){.sectors = MAIN_SECTORS, .block = 512, .dev = m->devices};
	d->disk = d->dev;
	snprintf(d->path, sizeof(d->path), "/dev/%s", words[0]);
	for (int i = 1; i < count; i++) {
		const char *name = value_of(words[i], "spare");

		if (!name)
			continue;
		set = *name - 'A';
		d->sectors = SPARE_SECTORS;
		snprintf(d->serial, sizeof(d->serial), "serial of %s", words[0]);
	}
	for (int i = 1; i < count; i++)
		tell_device(m, d, words[i]);
	if (set >= 0)
		add_spare(m, row, d, set, words, count);
}

/* @text with UUIDs for the names of sets. */
static void spell_out(const char *text, char *out, size_t size)
{
	char uuid[UUID_STR_LEN];
	size_t n = 0;

	for (const char *c = text; *c && n < size - UUID_STR_LEN; c++) {
		bool alone = (c == text || strchr(" =", c[-1])) && (!c[1] || strchr(" \n", c[1]));

		if (alone && (*c == 'A' || *c == 'B')) {
			uuid_unparse(uuids[*c - 'A'], uuid);
			n += snprintf(out + n, size - n, "%s", uuid);
		} else {
			out[n++] = *c;
		}
	}
	out[n] = '\0';
}

static void activate(struct machine *m, const char *text)
{
	char set, main[16], spare[16];

	assert_int_equal(sscanf(text, "%c %15s %15s", &set, main, spare), 3);
	strcpy(m->active.name, "running");
	memcpy(m->active.uuid, uuids[set - 'A'], DMR_UUID_SIZE);
	m->active.main = find_device(m, main)->dev;
	m->active.spare = find_device(m, spare) ? find_device(m, spare)->dev : 99;
}

static void build(struct machine *m, const struct situation *row)
{
	char text[512], *rest = text, *line;

	memset(m, 0, sizeof(*m));
	policy_init(&m->policy);
	spell_out(row->config ? row->config : "", text, sizeof(text));
	policy_config(&m->policy, "config", text);
	spell_out(row->command_line ? row->command_line : "", text, sizeof(text));
	policy_command_line(&m->policy, text);
	if (row->threshold)
		m->policy.threshold = row->threshold;
	m->policy.no_clones = row->no_clones;
	snprintf(text, sizeof(text), "%s", row->now);
	while ((line = strsep(&rest, "\n")) && *line)
		add_device(m, row, line);
	if (row->active)
		activate(m, row->active);
}

/* The decisions as a row has them; with the reasons in @why. */
static void tell_decisions(const struct decision *d, int n, char *what, size_t size, char *why,
			   size_t why_size)
{
	*what = *why = '\0';
	for (int i = 0; i < n; i++) {
		bool with_main = d[i].main && d[i].kind != DECIDE_SKIP && d[i].kind != DECIDE_MISSING;
		size_t k = strlen(what), r = strlen(why);

		snprintf(what + k, size - k, "%s%c: %s%s%s", i ? "; " : "",
			 memcmp(d[i].uuid, uuids[0], DMR_UUID_SIZE) ? 'B' : 'A',
			 decision_text(d[i].kind), with_main ? " " : "",
			 with_main ? d[i].main->path + strlen("/dev/") : "");
		snprintf(why + r, why_size - r, "\n    %s", d[i].reason);
		assert_true(*d[i].reason && *d[i].name);
	}
}

static void check_situation(const struct situation *row)
{
	struct machine m;
	char wanted[64], what[256], why[2048];
	const char *asked = wanted;
	struct match_input in = {
		.policy = &m.policy,
		.devices = m.device,
		.spares = m.spare,
		.active = &m.active,
		.wanted = &asked,
		.wanted_count = row->wanted != NULL,
	};
	struct decision *decisions;
	int n;

	build(&m, row);
	spell_out(row->wanted ? row->wanted : "", wanted, sizeof(wanted));
	in.device_count = m.devices;
	in.spare_count = m.spares;
	in.active_count = row->active != NULL;
	n = match_decide(&in, &decisions);
	assert_true(n >= 0);
	tell_decisions(decisions, n, what, sizeof(what), why, sizeof(why));
	if (strcmp(what, row->decided) || (row->because && !strstr(why, row->because)))
		fail_msg("%s: %s%s\n  expected: %s (%s)", row->what, what, why, row->decided,
			 row->because ? row->because : "");
	if (row->sure && decisions->strong != (row->sure == SURE))
		fail_msg("%s: taken for %s", row->what, decisions->strong ? "sure" : "unsure");
	free(decisions);
	policy_free(&m.policy);
}

#define DEFINE_TEST(table)                                     \
	static void test_##table(void **state)                 \
	{                                                      \
		(void)state;                                   \
		for (size_t i = 0; i < ARRAY_SIZE(table); i++) \
			check_situation(&table[i]);            \
	}

DEFINE_TEST(recognising_the_main)
DEFINE_TEST(clones_and_neighbours)
DEFINE_TEST(spares)
DEFINE_TEST(who_may)
DEFINE_TEST(before_all_devices_are_seen)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recognising_the_main),
		cmocka_unit_test(test_clones_and_neighbours),
		cmocka_unit_test(test_spares),
		cmocka_unit_test(test_who_may),
		cmocka_unit_test(test_before_all_devices_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
