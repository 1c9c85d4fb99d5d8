package modules

import (
	"context"
	"crypto/md5"  //nolint:gosec // Ansible offers it
	"crypto/sha1" //nolint:gosec // Ansible's default
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// StatArgs are the arguments of stat.
type StatArgs struct {
	Path              string `arg:"path,required" alias:"dest,name" type:"path" doc:"The file to look at."`
	Follow            bool   `arg:"follow" default:"no" doc:"Look at what a link leads to."`
	GetChecksum       bool   `arg:"get_checksum" default:"yes" doc:"Read a regular file for stat.checksum."`
	ChecksumAlgorithm string `arg:"checksum_algorithm" alias:"checksum,checksum_algo" default:"sha1" choices:"md5,sha1,sha224,sha256,sha384,sha512" doc:"Which checksum."`
	GetMime           bool   `arg:"get_mime" alias:"mime,mime_type,mime-type" default:"no" doc:"Only no is supported: there are no MIME types without a database of them on the host."`
	GetAttributes     bool   `arg:"get_attributes" alias:"attr,attributes" default:"no" doc:"Only no is supported: the flags of lsattr(1) are not read."`
}

func statSpec() Spec {
	return Spec{
		Name:    "stat",
		Summary: "Look at a file",
		Place:   OnHost,
		New:     func() Module { return &StatArgs{} },
		Notes:   []string{"A file that is not there gives stat.exists false. One that cannot be looked at is an error."},
		Returns: []Return{
			{Name: "stat", Type: "dict", Doc: "exists, path; and if it exists mode, uid, gid, pw_name, gr_name, size, blocks, block_size, inode, dev, nlink, atime, mtime, ctime, isreg, isdir, islnk, isfifo, issock, ischr, isblk, isuid, isgid, rusr to xoth, checksum of a regular file, lnk_target and lnk_source of a link. ctime and block_size are left out in check mode for what would be changed."},
		},
		Examples: []Example{
			{"Is it there?", `
stat:
  path: /opt/rainbond/compose/lb.yaml`},
		},
	}
}

// Validate refuses what would otherwise be silently left out.
func (a *StatArgs) Validate() error {
	if a.GetMime || a.GetAttributes {
		return errors.New("get_mime and get_attributes can only be no")
	}
	return nil
}

// Plan looks; there is nothing to do.
func (a *StatArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	lstat := host.Files().Lstat
	if a.Follow {
		lstat = host.Files().Stat
	}
	info, err := lstat(ctx, a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{Result: Result{"stat": map[string]any{"exists": false}}}, nil
	}
	if err != nil {
		return Plan{}, fmt.Errorf("looking at %s: %w", a.Path, err)
	}
	stat := statKeys(a.Path, info)
	if stat["pw_name"], err = ownerName(ctx, host, info.UID); err != nil {
		return Plan{}, err
	}
	if stat["gr_name"], err = groupName(ctx, host, info.GID); err != nil {
		return Plan{}, err
	}
	switch {
	case info.Type == sys.Symlink:
		err = addLink(ctx, host, a.Path, stat)
	case info.Type == sys.Regular && a.GetChecksum:
		stat["checksum"], err = a.checksum(ctx, host)
	}
	return Plan{Result: Result{"stat": stat}}, err
}

func statKeys(path string, info sys.FileInfo) map[string]any {
	is := func(bit uint32) bool { return info.Mode&bit != 0 }
	stat := map[string]any{
		"exists": true, "path": path, "mode": octal(info.Mode),
		"uid": info.UID, "gid": info.GID, "size": info.Size, "blocks": info.Blocks,
		"inode": int64(info.Inode), "dev": int64(info.Dev), "nlink": int64(info.Links), "device_type": int64(info.Rdev),
		"atime": unixSeconds(info.AccessTime), "mtime": unixSeconds(info.ModTime),
		"isreg": info.Type == sys.Regular, "isdir": info.Type == sys.Directory, "islnk": info.Type == sys.Symlink,
		"isfifo": info.Type == sys.Fifo, "issock": info.Type == sys.Socket,
		"ischr": info.Type == sys.CharDevice, "isblk": info.Type == sys.BlockDevice,
		"isuid": is(0o4000), "isgid": is(0o2000),
		"rusr": is(0o400), "wusr": is(0o200), "xusr": is(0o100),
		"rgrp": is(0o040), "wgrp": is(0o020), "xgrp": is(0o010),
		"roth": is(0o004), "woth": is(0o002), "xoth": is(0o001),
	}
	if info.BlockSize != 0 {
		stat["block_size"] = info.BlockSize
	}
	if !info.ChangeTime.IsZero() {
		stat["ctime"] = unixSeconds(info.ChangeTime)
	}
	return stat
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func addLink(ctx context.Context, host sys.Reader, path string, stat map[string]any) error {
	target, err := host.Files().Readlink(ctx, path)
	if err != nil {
		return fmt.Errorf("reading the link %s: %w", path, err)
	}
	stat["lnk_target"] = target
	source, err := realpath(ctx, host.Files(), path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it leads nowhere
	}
	stat["lnk_source"] = source
	return err
}

func (a *StatArgs) checksum(ctx context.Context, host sys.Reader) (string, error) {
	r, err := host.Files().Open(ctx, a.Path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", a.Path, err)
	}
	defer r.Close() //nolint:errcheck // only read from
	sum := map[string]func() hash.Hash{
		"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	}[a.ChecksumAlgorithm]()
	if _, err := io.Copy(sum, &untilCancelled{ctx, r}); err != nil {
		return "", fmt.Errorf("reading %s: %w", a.Path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
