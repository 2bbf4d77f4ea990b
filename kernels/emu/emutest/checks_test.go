package emutest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block makes an entry with in and out in %in and %out, the thread in %t, and a tile of 4096 bytes in shared memory with %s at the
// thread's word.
func block(body string) string {
	return header + `.file 1 "source.cu"
.visible .entry k(.param .u64 in, .param .u64 out)
{
.shared .align 16 .b8 tile[4096];
.local .align 16 .b8 depot[32];
.reg .b64 %in, %out, %x; .reg .b32 %t, %l, %w, %s, %a, %b, %c, %d, %r<4>; .reg .f32 %f<4>; .reg .pred %p, %q;
ld.param.u64 %in, [in];
ld.param.u64 %out, [out];
mov.u32 %t, %tid.x;
mov.u32 %l, %laneid;
shr.u32 %w, %t, 5;
mov.u32 %s, tile;
mad.lo.u32 %s, %t, 4, %s;
.loc 1 42 7
` + body + "\nret;\n}\n"
}

// A kernel that does wrong is told what, where and by which thread; the same kernel done right is not. Threads: 64 of one block.
// in has 400 written bytes of 480, out 400 bytes.
func TestChecks(t *testing.T) {
	cases := []struct{ name, body, want string }{
		{"fine", `mad.wide.u32 %x, %t, 4, %in;
ld.global.u32 %a, [%x];
mad.wide.u32 %x, %t, 4, %out;
st.global.u32 [%x], %a;`, ""},
		{"global past the end", `mad.wide.u32 %x, %t, 8, %in;
st.global.u32 [%x], %t;`, `700 out-of-bounds writes 4 bytes at 0x\w+, 0 bytes past the 480 bytes at 0x\w+ in k at source.cu:42, block \(0,0,0\), thread \(60,0,0\)$`},
		{"global before the start", `st.global.u32 [%out+-4], %t;`, `700 out-of-bounds writes 4 bytes at 0x\w+, 4 bytes before the 400 bytes`},
		{"global straddles the end", `ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%out+384];
ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%out+400];`, `uninitialised reads 16 bytes of global memory`},
		{"global v4 past the end", `st.global.v4.u32 [%out+400], {%t,%t,%t,%t};`, `700 out-of-bounds writes 16 bytes .*, 0 bytes past the 400`},
		{"null", `mov.u64 %x, 0;
ld.global.u32 %a, [%x];`, `700 out-of-bounds .* a null pointer`},
		{"misaligned", `ld.global.u32 %a, [%in+2];`, `716 misaligned global access of 4 bytes at 0x\w+, which is not a multiple of 4 in k .*thread \(0,0,0\)`},
		{"misaligned vector", `mad.wide.u32 %x, %t, 4, %in;
ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%x];`, `716 misaligned global access of 16 bytes .*thread \(1,0,0\)`},
		{"unwritten global", `ld.global.u32 %a, [%in+400];`, `719 uninitialised reads 4 bytes of global memory at 0x\w+, 400 bytes into the 480 bytes at 0x\w+, of which byte 0`},
		{"partly unwritten vector", `ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%in+384];
ld.global.v2.u32 {%r0,%r1}, [%in+392];
ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%in+400];`, `uninitialised .* of which byte 0`},
		{"one lane unwritten", `mad.wide.u32 %x, %t, 4, %out;
setp.ne.u32 %p, %t, 37;
@%p st.global.u32 [%x], %t;
ld.global.u32 %a, [%x];`, `uninitialised reads 4 bytes of global memory .*thread \(37,0,0\)`},
		{"generic", `cvta.shared.u64 %x, 0;
setp.eq.u32 %p, %t, 0;
@%p st.u32 [%x], 1;
bar.sync 0;
ld.u32 %a, [%x];
ld.u32 %a, [%x+4096];`, `700 out-of-bounds reads 4 bytes at 0x1000 of 4096 bytes of shared memory`},
		{"shared past the end", `st.shared.u32 [%s+3848], %t;`, `700 out-of-bounds writes 4 bytes at 0x1000 of 4096 bytes of shared memory in k at source.cu:42, block \(0,0,0\), thread \(62,0,0\)`},
		{"unwritten shared", `ld.shared.u32 %a, [%s];`, `719 uninitialised reads 1 byte of shared memory at 0x0`},
		{"local past the end", `mov.u64 %x, depot;
st.local.u32 [%x+32], %t;`, `700 out-of-bounds writes 4 bytes at 0x20 of 32 bytes of local memory`},
		{"unwritten local", `mov.u64 %x, depot;
st.local.u32 [%x], %t;
ld.local.v2.u32 {%r0,%r1}, [%x];`, `719 uninitialised reads 8 bytes of local memory at 0x0, of which byte 4`},
		{"local fine", `mov.u64 %x, depot;
st.local.v2.u32 [%x+8], {%t,%l};
cvta.local.u64 %x, %x;
ld.u32 %a, [%x+12];
setp.ne.u32 %p, %a, %l;
@%p trap;`, ""},

		{"exchange", `st.shared.u32 [%s], %t;
bar.sync 0;
xor.b32 %a, %s, 128;
ld.shared.u32 %b, [%a];`, ""},
		{"exchange without barrier", `st.shared.u32 [%s], %t;
xor.b32 %a, %s, 128;
setp.lt.u32 %p, %t, 32;
@!%p ld.shared.u32 %b, [%a];`, `719 (uninitialised|race reads a byte that thread \(0,0,0\) wrote, with no barrier between, shared memory at 0x0 .*thread \(32,0,0\))`},
		{"write after read", `st.shared.u32 [%s], %t;
bar.sync 0;
xor.b32 %a, %s, 128;
ld.shared.u32 %b, [%a];
st.shared.u32 [%s], %b;`, `719 race (reads|writes) a byte that thread \(\d+,0,0\) (wrote|read), with no barrier between`},
		{"write after many reads", `st.shared.u32 [%s], %t;
bar.sync 0;
mov.u32 %a, tile;
ld.shared.u32 %b, [%a];
setp.eq.u32 %p, %t, 40;
@%p st.shared.u32 [%a], %b;`, `719 race writes a byte that (another warp|several lanes of warp \d) read`},
		{"write after write", `mov.u32 %a, tile;
setp.eq.u32 %p, %l, 0;
@%p st.shared.u32 [%a], %t;`, `719 race writes a byte that thread \(0,0,0\) wrote.*thread \(32,0,0\)`},
		{"one store, two values", `mov.u32 %a, tile;
setp.lt.u32 %p, %t, 32;
@%p st.shared.u32 [%a], %t;`, `719 race and thread \(0,0,0\) write different values in one instruction`},
		{"one store, one value", `mov.u32 %a, tile;
setp.lt.u32 %p, %t, 32;
@%p st.shared.u32 [%a], 5;`, ""},
		{"warp-synchronous", `st.shared.u32 [%s], %t;
bar.warp.sync -1;
xor.b32 %a, %s, 4;
ld.shared.u32 %b, [%a];
bar.warp.sync -1;
st.shared.u32 [%s], %b;`, ""},
		{"warp-synchronous without the barrier", `st.shared.u32 [%s], %t;
xor.b32 %a, %s, 4;
ld.shared.u32 %b, [%a];`, `719 race reads a byte that thread \(1,0,0\) wrote`},
		{"warp-synchronous without the second barrier", `st.shared.u32 [%s], %t;
bar.warp.sync -1;
xor.b32 %a, %s, 4;
ld.shared.u32 %b, [%a];
st.shared.u32 [%s], %b;`, `719 race writes a byte that thread \(\d+,0,0\) read`},
		{"half warps", `st.shared.u32 [%s], %t;
setp.lt.u32 %p, %l, 16;
selp.b32 %c, 0xffff, 0xffff0000, %p;
bar.warp.sync %c;
xor.b32 %a, %s, 4;
ld.shared.u32 %b, [%a];
bar.warp.sync %c;
st.shared.u32 [%s], %b;`, ""},
		{"across half warps", `st.shared.u32 [%s], %t;
setp.lt.u32 %p, %l, 16;
selp.b32 %c, 0xffff, 0xffff0000, %p;
bar.warp.sync %c;
xor.b32 %a, %s, 64;
ld.shared.u32 %b, [%a];`, `719 race reads a byte that thread \(16,0,0\) wrote`},
		{"bytes of one word", `mov.u32 %a, tile;
add.u32 %a, %a, %t;
st.shared.u8 [%a], %t;
bar.sync 0;
ld.shared.u8 %b, [%a];`, ""},
		{"broadcast in turns", `st.shared.u32 [%s], %t;
bar.sync 0;
mov.u32 %a, tile;
ld.shared.u32 %b, [%a];
bar.sync 0;
setp.eq.u32 %p, %t, 40;
@%p st.shared.u32 [%a], %b;
bar.sync 0;
ld.shared.u32 %b, [%a];`, ""},
		{"named barriers", `setp.lt.u32 %p, %t, 32;
@!%p bra CONSUMER;
st.shared.u32 [%s], %t;
bar.arrive 1, 64;
bra DONE;
CONSUMER:
bar.sync 1, 64;
xor.b32 %a, %s, 128;
ld.shared.u32 %b, [%a];
DONE:`, ""},
		{"atomics", `mov.u32 %a, tile;
setp.eq.u32 %p, %t, 0;
@%p st.shared.u32 [%a], 0;
bar.sync 0;
atom.shared.add.u32 %b, [%a], 1;
bar.sync 0;
ld.shared.u32 %b, [%a];
setp.ne.u32 %p, %b, 64;
@%p trap;`, ""},
		{"atomic and plain", `mov.u32 %a, tile;
setp.eq.u32 %p, %t, 0;
@%p st.shared.u32 [%a], 0;
bar.sync 0;
atom.shared.add.u32 %b, [%a], 1;
ld.shared.u32 %b, [%a];`, `719 race`},

		{"copy", `mad.wide.u32 %x, %t, 4, %in;
cp.async.ca.shared.global [%s], [%x], 4;
cp.async.commit_group;
cp.async.wait_group 0;
bar.sync 0;
xor.b32 %a, %s, 128;
ld.shared.u32 %b, [%a];`, ""},
		{"copy not waited for", `mad.wide.u32 %x, %t, 4, %in;
cp.async.ca.shared.global [%s], [%x], 4;
cp.async.commit_group;
cp.async.wait_group 1;
bar.sync 0;
ld.shared.u32 %b, [%s];`, `719 race reads a byte that a cp.async of thread \(\d+,0,0\) is still writing`},
		{"copy without barrier", `mad.wide.u32 %x, %t, 4, %in;
cp.async.ca.shared.global [%s], [%x], 4;
cp.async.commit_group;
cp.async.wait_group 0;
xor.b32 %a, %s, 4;
ld.shared.u32 %b, [%a];`, `719 race reads a byte that thread \(1,0,0\) wrote`},
		{"copy over what is read", `st.shared.u32 [%s], %t;
bar.sync 0;
xor.b32 %a, %s, 128;
ld.shared.u32 %b, [%a];
mad.wide.u32 %x, %t, 4, %in;
cp.async.ca.shared.global [%s], [%x], 4;`, `719 race (writes a byte that thread \(\d+,0,0\) read|reads a byte that a cp.async of thread)`},
		{"copy past the end", `cp.async.cg.shared.global [%s], [%in+480], 16;`, `716 misaligned shared access of 16`},
		{"copy reads past the end", `mad.lo.u32 %s, %t, 12, %s;
cp.async.cg.shared.global [%s], [%in+480], 16;`, `700 out-of-bounds copies from 16 bytes`},
		{"copy of nothing", `mad.lo.u32 %s, %t, 12, %s;
mov.u32 %a, 0;
cp.async.cg.shared.global [%s], [%in+4096], 16, %a;
cp.async.wait_all;
ld.shared.v4.u32 {%r0,%r1,%r2,%r3}, [%s];
setp.ne.u32 %p, %r3, 0;
@%p trap;`, ""},

		{"divergent barrier", `setp.lt.u32 %p, %l, 16;
@%p bra SKIP;
bar.sync 0;
SKIP:
add.u32 %a, %a, 1;`, `719 barrier waits at a barrier that lane 0 of its warp does not reach with it .*thread \(16,0,0\)`},
		{"barrier after exit", `setp.lt.u32 %p, %t, 7;
@%p bra GONE;
bar.sync 0;
GONE:
ret;`, `719 barrier waits at a barrier that lane 0 of its warp never reached before it exited`},
		{"warp exits before a barrier", `setp.lt.u32 %p, %t, 32;
@%p bra GONE;
bar.sync 0;
GONE:
ret;`, `719 barrier waits at a barrier that warp 0 never reached before it exited`},
		{"two barriers", `setp.lt.u32 %p, %t, 32;
@%p bra OTHER;
bar.sync 0;
bra DONE;
OTHER:
bar.sync 1;
DONE:`, `719 barrier waits at another barrier than warp [01]`},
		{"barrier that never fills", `bar.sync 3, 96;`, `702 barrier waits for ever at barrier 3: 64 of 96 threads came`},
		{"barrier reductions", `setp.lt.u32 %p, %t, 40;
bar.red.popc.u32 %a, 0, %p;
setp.ne.u32 %q, %a, 40;
@%q trap;
bar.red.and.pred %q, 0, %p;
@%q trap;
bar.red.or.pred %q, 0, !%p;
@!%q trap;`, ""},
		{"shuffle without a lane", `setp.lt.u32 %p, %l, 16;
@%p bra SKIP;
shfl.sync.bfly.b32 %a, %t, 1, 31, -1;
SKIP:
add.u32 %a, %a, 1;`, `719 warp-sync waits in a .sync instruction for lane 0, which is elsewhere`},
		{"shuffle from outside", `setp.lt.u32 %p, %l, 16;
@%p bra SKIP;
shfl.sync.bfly.b32 %a, %t, 16, 31, 0xffff0000;
SKIP:`, `719 warp-sync shuffles from lane 0, which does not take part .*thread \(16,0,0\)`},
		{"shuffle of half", `setp.lt.u32 %p, %l, 16;
@%p bra SKIP;
shfl.sync.bfly.b32 %a, %t, 8, 31, 0xffff0000;
SKIP:`, ""},
		{"not in its own mask", `vote.sync.ballot.b32 %a, %p, 0xfffffffe;`, `719 warp-sync executes a .sync instruction whose mask does not name it .*thread \(0,0,0\)`},
		{"matrix without lanes", `setp.eq.u32 %p, %t, 3;
@%p bra SKIP;
mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%f0,%f1,%f2,%f3}, {%a,%b}, {%c}, {%f0,%f1,%f2,%f3};
SKIP:`, `719 warp-sync executes an instruction of the whole warp without lane 3`},
		{"trap", `setp.eq.u32 %p, %t, 33;
@%p trap;`, `719 trap trap in k at source.cu:42, block \(0,0,0\), thread \(33,0,0\)`},
		{"endless", `AGAIN:
bra AGAIN;`, `702 timeout still running after 100000 basic blocks`},
	}
	for _, schedule := range []string{"forward", "reverse", "random"} {
		for _, late := range []string{"early", "late"} {
			r := start(t, "schedule "+schedule, "seed 5", "async "+late, "max_steps 100000")
			for i, c := range cases {
				r.mustLoad(block(c.body))
				r.buffer(fmt.Sprint("in", i), 480, make([]byte, 400))
				r.buffer(fmt.Sprint("out", i), 400, nil)
				got := r.ask("launch k 1 1 1 64 1 1 0 &in%d &out%d", i, i)
				want := "^ok"
				if c.want != "" {
					want = "^fault .*" + c.want
				}
				if schedule != "forward" { // other schedules meet another thread first
					want = regexp.MustCompile(`(thread|warp|lane) (\\\(.*?\\\)|\d+|\[01\])`).ReplaceAllString(want, "$1 .*")
					want = strings.ReplaceAll(want, "at 0x0", "at 0x\\w+")
				}
				if !regexp.MustCompile(want).MatchString(got) {
					t.Errorf("%s %s, %s: %s\nwant %s", schedule, late, c.name, got, want)
				}
			}
		}
	}
}

// Records of accesses carry a time of 20 bits; a block that synchronises more often than that still has no false races, and real
// ones are found.
func TestManySynchronisations(t *testing.T) {
	loop := `mov.u32 %c, 0;
xor.b32 %a, %s, 4;
AGAIN:
st.shared.u32 [%s], %c;
bar.warp.sync -1;
ld.shared.u32 %b, [%a];
setp.ne.u32 %p, %b, %c;
@%p trap;
` + strings.Repeat("bar.warp.sync -1;\n", 10) + `add.u32 %c, %c, 1;
setp.lt.u32 %p, %c, 50000;
@%p bra AGAIN;
`
	r := start(t)
	r.buffer("in", 4, nil)
	for body, want := range map[string]string{loop: "ok", loop + "st.shared.u32 [%s], %c;\nld.shared.u32 %b, [%a];": "race reads a byte"} {
		r.mustLoad(block(body))
		if got := r.ask("launch k 1 1 1 64 1 1 0 &in &in"); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A released allocation is not mistaken for memory, and says so.
func TestUseAfterRelease(t *testing.T) {
	r := start(t)
	r.mustLoad(block("ld.global.u32 %a, [%in];"))
	r.buffer("in", 64, make([]byte, 64))
	r.ok("free in")
	if got := r.ask("launch k 1 1 1 32 1 1 0 &in &in"); !strings.Contains(got, "0 bytes into the 64 bytes at") || !strings.Contains(got, "which were released") {
		t.Error(got)
	}
}

// Launches that cannot be are refused.
func TestLaunchRefused(t *testing.T) {
	r := start(t)
	r.mustLoad(header + ".visible .entry k(.param .u32 n)\n.maxntid 64, 1, 1\n{\nret;\n}\n")
	for args, want := range map[string]string{
		"1 1 1 1025 1 1 0 00000000": "1025 threads in a block",
		"1 1 1 65 1 1 0 00000000":   "65 threads in a block where the function allows 64",
		"0 1 1 32 1 1 0 00000000":   "an empty grid",
		"1 1 1 0 1 1 0 00000000":    "0 threads",
		"1 1 1 32 1 1 0":            "0 bytes of parameters where 4",
	} {
		if got := r.ask("launch k %s", args); !strings.HasPrefix(got, "fault") || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	r.ok("launch k 1 1 1 64 1 1 0 00000000")
}

// Blocks run on several host threads, and the counters add up to the same.
func TestThreads(t *testing.T) {
	ptx := header + `.visible .entry k(.param .u64 out)
{
.reg .b64 %x; .reg .b32 %a, %b;
ld.param.u64 %x, [out];
mov.u32 %a, %ctaid.x;
mov.u32 %b, %ntid.x;
mad.lo.u32 %a, %a, %b, 0;
mov.u32 %b, %tid.x;
add.u32 %a, %a, %b;
mad.wide.u32 %x, %a, 4, %x;
st.global.u32 [%x], %a;
ld.param.u64 %x, [out];
red.global.add.u32 [%x+65536], 1;
ret;
}
`
	var first map[string]int
	for _, threads := range []string{"1", "2", "5"} {
		r := start(t, "threads "+threads)
		r.mustLoad(ptx)
		r.buffer("out", 65536+4, nil)
		if got := r.ask("launch k 256 1 1 64 1 1 0 &out"); !strings.Contains(got, "uninitialised") {
			t.Errorf("an atomic on unwritten memory: %s", got)
		}
		r.counters()
		r.buffer("out", 65536+4, make([]byte, 65536+4))
		r.ok("launch k 256 1 1 64 1 1 0 &out")
		out := r.read("out")
		for i := range 16384 {
			if got := uint32(out[4*i]) | uint32(out[4*i+1])<<8; got != uint32(i) {
				t.Fatalf("%s threads: element %d is %d", threads, i, got)
			}
		}
		if got := uint32(out[65536]) | uint32(out[65537])<<8; got != 16384 {
			t.Errorf("%s threads: %d increments", threads, got)
		}
		c := r.counters()
		if first == nil {
			first = c
		}
		if fmt.Sprint(c) != fmt.Sprint(first) {
			t.Errorf("%s threads count %v, 1 counts %v", threads, c, first)
		}
		if c["blocks"] != 256 || c["warps"] != 512 || c["threads"] != 16384 || c["instructions"] != 512*11 || c["atomics"] != 512 || c["global_store_bytes"] != 65536 || c["global_store_sectors"] != 2048 {
			t.Errorf("counters %v", c)
		}
	}
}

// Traffic with memory behind a cache of 4 KiB: a kernel that reads 64 KiB twice moves it twice, one that looks as much up in a table
// of 1 KiB moves the table, and a store of every eighth word writes whole sectors.
func TestCachedTraffic(t *testing.T) {
	const loop = "mov.u32 %a, 0;\nL: shl.b32 %b, %a, 8;\nmad.lo.u32 %b, %t, 4, %b;\n"
	const again = "add.u32 %a, %a, 1;\nsetp.lt.u32 %p, %a, 512;\n@%p bra L;"
	for _, c := range []struct {
		name, access string
		read, write  int
	}{
		{"once", "and.b32 %b, %b, 131071;\ncvt.u64.u32 %x, %b;\nadd.u64 %x, %x, %in;\nld.global.u32 %w, [%x];\n", 128 << 10, 0},
		{"twice", "and.b32 %b, %b, 65535;\ncvt.u64.u32 %x, %b;\nadd.u64 %x, %x, %in;\nld.global.u32 %w, [%x];\n", 128 << 10, 0},
		{"table", "and.b32 %b, %b, 1023;\ncvt.u64.u32 %x, %b;\nadd.u64 %x, %x, %in;\nld.global.u32 %w, [%x];\n", 1 << 10, 0},
		{"stores", "and.b32 %b, %b, 4095;\nshl.b32 %b, %b, 3;\ncvt.u64.u32 %x, %b;\nadd.u64 %x, %x, %in;\nst.global.u32 [%x], %t;\n", 0, 2 * 512 * 32 * 32},
	} {
		r := start(t, "cache 4096", "threads 2")
		r.mustLoad(block(loop + c.access + again))
		r.buffer("in", 128<<10, make([]byte, 128<<10))
		r.ok("launch k 1 1 1 64 1 1 0 &in &in")
		got := r.counters()
		if got["memory_read_bytes"] != c.read || got["memory_write_bytes"] != c.write {
			t.Errorf("%s: %d read, %d written, want %d and %d", c.name, got["memory_read_bytes"], got["memory_write_bytes"], c.read, c.write)
		}
	}
}

// Coalescing and bank conflicts, by hand.
func TestTraffic(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       map[string]int
	}{
		{"row", "mad.wide.u32 %x, %t, 4, %in;\nld.global.u32 %a, [%x];", map[string]int{"global_loads": 2, "global_load_bytes": 256, "global_load_sectors": 8}},
		{"shifted row", "mad.wide.u32 %x, %t, 4, %in;\nld.global.u32 %a, [%x+4];", map[string]int{"global_load_sectors": 10}},
		{"broadcast", "ld.global.u32 %a, [%in];", map[string]int{"global_loads": 2, "global_load_bytes": 256, "global_load_sectors": 2}},
		{"stride 32", "mul.lo.u32 %a, %t, 32;\nand.b32 %a, %a, 255;\ncvt.u64.u32 %x, %a;\nadd.u64 %x, %x, %in;\nld.global.u32 %a, [%x];", map[string]int{"global_load_sectors": 16}},
		{"columns", "st.shared.u32 [%s], %t;\nbar.sync 0;\nmov.u32 %a, tile;\nand.b32 %b, %t, 1;\nmad.lo.u32 %a, %b, 128, %a;\nld.shared.u32 %a, [%a];", map[string]int{"shared_loads": 2, "shared_load_bytes": 256, "shared_load_conflicts": 2, "shared_stores": 2, "shared_store_conflicts": 0, "barriers": 2}},
		{"stride of two", "mad.lo.u32 %s, %t, 4, %s;\nst.shared.u32 [%s], %t;", map[string]int{"shared_store_conflicts": 2}},
		{"all in one bank", "mov.u32 %a, tile;\nmad.lo.u32 %a, %l, 128, %a;\nadd.u32 %a, %a, %w;\nst.shared.u8 [%a], %t;", map[string]int{"shared_store_conflicts": 62}},
		{"vectors", "mad.lo.u32 %s, %t, 12, %s;\nst.shared.v4.u32 [%s], {%t,%t,%t,%t};", map[string]int{"shared_stores": 2, "shared_store_bytes": 1024, "shared_store_conflicts": 0}},
		{"half of the lanes", "setp.lt.u32 %p, %l, 16;\n@%p ld.global.u32 %a, [%in];", map[string]int{"global_loads": 2, "global_load_bytes": 128}},
	} {
		r := start(t)
		r.mustLoad(block(c.body))
		r.buffer("in", 480, make([]byte, 480))
		r.ok("launch k 1 1 1 64 1 1 0 &in &in")
		got := r.counters()
		for name, want := range c.want {
			if got[name] != want {
				t.Errorf("%s: %s is %d, want %d", c.name, name, got[name], want)
			}
		}
	}
}

// What is not understood is an error that names the line and the text.
func TestParseErrors(t *testing.T) {
	for body, want := range map[string]string{
		"tex.2d.v4.f32.f32 {%f0,%f1,%f2,%f3}, [%x, {%f0,%f1}];": "line 18: instruction `tex.2d.v4.f32.f32` is not known",
		"add.rn.s32 %a, %a, %a;":                                "line 18: instruction `add.rn.s32` is not known",
		"add.f32.foo %f0, %f0, %f0;":                            "line 18: instruction `add.f32.foo` is not known",
		"add.s32 %a, %a;":                                       "line 18: the number of operands is wrong in `add.s32`",
		"add.s32 %a, %a, %x;":                                   "line 18: an operand has the wrong size in `add.s32`",
		"add.s32 %a, %a, %nothing;":                             "line 18: special register `%nothing` is not known in `add.s32`",
		"bra NOWHERE;":                                          "line 18: label `NOWHERE` is not defined",
		"call nothing;":                                         "line 18: function `nothing` is not defined in `call`",
		"mov.u32 %a, nothing;":                                  "line 18: `nothing` is not declared in `mov.u32`",
		"fma.f32 %f0, %f0, %f0, %f0;":                           "line 18: instruction `fma.f32` is not known",
		"shfl.bfly.b32 %a, %a, 1, 31;":                          "line 18: `shfl.bfly.b32` is not a .sync instruction",
		"wgmma.fence.sync.aligned;":                             "line 18: instruction `wgmma.fence.sync.aligned` is not known",
		".reg .b7 %z;":                                          "line 18: registers of type .b7 are not known",
		"ld.shared.u32 %a [%s];":                                "line 18: expected `,` before `[%s];`",
		"@%a bra NOWHERE;":                                      "line 18: guard `%a` is not a predicate",
		"cvt.f32.s32 %f0, %a;":                                  "line 18: instruction `cvt.f32.s32` is not known",
		"cp.async.cg.shared.global [%s], [%x], 8;":              "line 18: a size that cp.async does not have in `cp.async.cg.shared.global`",
		"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%a,%a,%a,%a}, {%a,%a,%a,%a}, {%a,%a}, {%a,%a,%a,%a};": "is not known",
	} {
		r := start(t)
		if got := r.load(block(body)); !strings.HasPrefix(got, "error ") || !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", body, got, want)
		}
	}
	r := start(t)
	if got := r.load("this is not PTX"); !strings.HasPrefix(got, "error line 1: ") {
		t.Error(got)
	}
	if got := r.load(header + ".func f()\n{\ncall f;\nret;\n}\n.visible .entry k()\n{\ncall f;\nret;\n}\n"); !strings.Contains(got, "recursive call of `f`") {
		t.Error(got)
	}
}

// Variables of a module have their initial values, addresses in other variables among them.
func TestVariables(t *testing.T) {
	r := start(t)
	r.mustLoad(header + `.global .align 4 .u32 one = 1;
.const .align 4 .b8 table[8] = {2, 0, 0, 0, 3};
.global .align 8 .u64 pointers[2] = {one, generic(table)+4};
.global .align 4 .f32 half = 0f3F000000;
.global .align 16 .b8 zero[32];
.visible .entry k(.param .u64 out)
{
.reg .b64 %x, %y; .reg .b32 %a, %b;
ld.global.u32 %a, [one];
ld.const.u32 %b, [table];
mad.lo.u32 %a, %b, 10, %a;
ld.const.u32 %b, [table+4];
mad.lo.u32 %a, %b, 100, %a;
ld.global.u64 %y, [pointers];
ld.u32 %b, [%y];
mad.lo.u32 %a, %b, 1000, %a;
mov.u64 %x, pointers;
ld.global.u64 %y, [%x+8];
ld.u32 %b, [%y];
mad.lo.u32 %a, %b, 10000, %a;
ld.global.u32 %b, [half];
shr.u32 %b, %b, 24;
mad.lo.u32 %a, %b, 100000, %a;
ld.global.u32 %b, [zero+28];
add.u32 %a, %a, %b;
ld.param.u64 %x, [out];
st.global.u32 [%x], %a;
ret;
}
`)
	r.buffer("out", 4, nil)
	r.ok("launch k 1 1 1 1 1 1 0 &out")
	out := r.read("out")
	if got := uint32(out[0]) | uint32(out[1])<<8 | uint32(out[2])<<16 | uint32(out[3])<<24; got != 63*100000+31321 {
		t.Errorf("%d", got)
	}
	if got := r.ask("symbol zero"); !strings.HasSuffix(got, " 32") {
		t.Error(got)
	}
}

// Every kernel that ships is understood.
func TestShippedKernels(t *testing.T) {
	files, err := filepath.Glob("../../cuda/ptx/*.ptx")
	if err != nil || len(files) == 0 {
		t.Fatal("no kernels found", err)
	}
	r := start(t)
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			t.Fatal(err)
		}
		if got := r.ask("module %s", f); got != "ok" {
			t.Errorf("%s: %s", f, got)
		}
	}
}
