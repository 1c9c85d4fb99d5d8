package modules

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// MysqlLogin says which server, and as whom.
type MysqlLogin struct {
	Container  string `arg:"container" doc:"The docker container that the server runs in; it is reached through its socket."`
	UnixSocket string `arg:"login_unix_socket" type:"path" doc:"The server's socket; with container its path in there. The usual places are tried in a container when not given."`
	Host       string `arg:"login_host" doc:"The server's host, for a connection over TCP."`
	Port       int    `arg:"login_port" default:"3306" doc:"The server's port."`
	User       string `arg:"login_user" default:"root" doc:"The user."`
	Password   string `arg:"login_password" secret:"true" doc:"The user's password."`
	DB         string `arg:"db" alias:"login_db" doc:"The database to use."`
}

func (l *MysqlLogin) validate() error {
	switch {
	case l.Container == "" && l.UnixSocket == "" && l.Host == "":
		return errors.New("needs container, login_unix_socket or login_host")
	case l.Host != "" && (l.Container != "" || l.UnixSocket != ""):
		return errors.New("login_host excludes container and login_unix_socket")
	case l.UnixSocket != "" && !path.IsAbs(l.UnixSocket):
		return fmt.Errorf("login_unix_socket: %s is not an absolute path", l.UnixSocket)
	case strings.HasPrefix(l.Container, "-"):
		return fmt.Errorf("container: %q is no name of a container", l.Container)
	case l.Port < 1 || l.Port > 65535:
		return fmt.Errorf("login_port: %d is no port", l.Port)
	}
	return nil
}

// mysqlServer is a server and how to log in there.
type mysqlServer struct {
	name             string // for messages and keys
	network, address string
	login            *MysqlLogin
}

func (s *mysqlServer) key(what string) string { return "mysql " + s.name + " " + what }

// server finds out where to connect to.
func (l *MysqlLogin) server(ctx context.Context, host sys.Reader) (*mysqlServer, error) {
	switch {
	case l.Host != "":
		address := net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
		return &mysqlServer{name: "mysql " + address, network: "tcp", address: address, login: l}, nil
	case l.Container == "":
		return &mysqlServer{name: "mysql " + l.UnixSocket, network: "unix", address: l.UnixSocket, login: l}, nil
	}
	socket, err := l.containerSocket(ctx, host)
	if err != nil {
		return nil, err
	}
	return &mysqlServer{name: "mysql in " + l.Container, network: "unix", address: socket, login: l}, nil
}

// The places where MySQL and MariaDB images have their socket.
var mysqlSockets = []string{"/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"}

// containerSocket finds the server's socket as the host sees it.
func (l *MysqlLogin) containerSocket(ctx context.Context, host sys.Reader) (string, error) {
	found, err := inspectContainers(ctx, host, []string{l.Container})
	if err != nil {
		return "", fmt.Errorf("looking for the container %s: %w", l.Container, err)
	}
	if len(found) != 1 || found[0].State.Pid == 0 {
		status := "missing"
		if len(found) == 1 {
			status = found[0].State.Status
		}
		return "", fmt.Errorf("the container %s is not running (%s); start it first", l.Container, status)
	}
	root := fmt.Sprintf("/proc/%d/root", found[0].State.Pid)
	places := mysqlSockets
	if l.UnixSocket != "" {
		places = []string{l.UnixSocket}
	}
	for _, place := range places {
		socket, err := realpathWithin(ctx, host.Files(), root, place)
		if there, err := present(err); !there && err != nil {
			return "", fmt.Errorf("looking for the socket of %s: %w", l.Container, err)
		} else if there {
			return socket, nil
		}
	}
	return "", fmt.Errorf("the container %s has no socket at %s; give login_unix_socket", l.Container, strings.Join(places, ", "))
}

// maxLinks is Linux's own limit of links in one path.
const maxLinks = 40

// realpathWithin resolves every link of p as a process with the root directory
// root would: an absolute link starts at root again, so that none leads out.
func realpathWithin(ctx context.Context, files sys.FileReader, root, p string) (string, error) {
	inside, rest := "/", strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			inside = path.Dir(inside)
			continue
		}
		next := path.Join(inside, part)
		info, err := files.Lstat(ctx, root+next)
		if err != nil {
			return "", err
		}
		if info.Type != sys.Symlink {
			inside = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: more than %d links lead round in it", p, maxLinks)
		}
		target, err := files.Readlink(ctx, root+next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			inside = "/"
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return root + inside, nil
}

// silence is a logger for the driver, which would write to stderr.
type silence struct{}

func (silence) Print(...any) {}

// open connects by way of the host. The caller closes the database.
func (s *mysqlServer) open(host sys.Reader) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = s.login.User, s.login.Password, s.login.DB
	config.Net, config.Addr = s.network, s.address
	config.Timeout = 10 * time.Second
	config.ClientFoundRows = true // rows that have the value already count as found
	config.Logger = silence{}
	config.DialFunc = host.Network().Dial
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

// read runs do in a transaction that the server holds to reading. In check mode
// it really happens: rows are what they are, whatever would be restarted.
func (s *mysqlServer) read(ctx context.Context, host sys.Reader, do func(tx *sql.Tx) error) error {
	db, err := s.open(host)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	tx, err := db.BeginTx(sys.Unaffected(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.explain(ctx, host, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return do(tx)
}

// explain asks once more whether check mode can know at all: a server that is not
// there may be one that an earlier task would have started.
func (s *mysqlServer) explain(ctx context.Context, host sys.Reader, err error) error {
	if refused, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return refused
	}
	conn, again := host.Network().Dial(ctx, s.network, s.address)
	if again == nil {
		_ = conn.Close() // nothing was sent
		return err
	}
	if _, unknown := sys.Unknown(again); unknown {
		return again
	}
	return err
}

// write executes one statement, in a transaction that is undone when it does not
// find as many rows as it must.
func (s *mysqlServer) write(ctx context.Context, host sys.Reader, query string, args []any, must *int64) (int64, error) {
	db, err := s.open(host)
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // the commit tells
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	affected, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	if must != nil && affected != *must {
		return 0, fmt.Errorf("the statement found %d rows in place of %d, and was undone", affected, *must)
	}
	return affected, tx.Commit()
}
