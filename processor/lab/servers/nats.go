package servers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// NATSOptions configure a server. The zero value is a temporary server on a free port, without a
// log.
type NATSOptions struct {
	// ConfigFile is a nats-server configuration to take accounts, permissions and limits from;
	// empty: none. Its addresses, ports, folders and files are replaced by what is said here.
	ConfigFile string
	Dir        string // folder of the streams, kept for the next start; empty: temporary
	Port       int    // loopback port; 0: a free one
	SyncAlways bool   // an acknowledged message survives a power failure; false: not within two minutes
	MaxStore   int64  // limit in bytes for JetStream on disk; 0: the whole disk
	Logger     *zap.Logger
}

// NATSServer is a NATS server with JetStream inside this process. Its methods may be called from
// several goroutines.
type NATSServer struct {
	options NATSOptions
	home    *home
	stop    func() error

	mu      sync.Mutex
	port    int // 0 until the first start
	running *server.Server
	clients []*nats.Conn // made by Connect
}

// StartNATS starts a server and returns when it accepts connections and JetStream is on. ctx
// bounds the start only; Stop ends the server.
func StartNATS(ctx context.Context, o NATSOptions) (*NATSServer, error) {
	h, err := natsHome(ctx, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("prepare NATS: %w", err)
	}
	s := &NATSServer{options: o, home: h, port: o.Port}
	s.stop = sync.OnceValue(s.end)
	if err := s.Up(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func natsHome(ctx context.Context, dir string) (*home, error) {
	if dir != "" {
		return openHome(dir, account{}) // the server is in this process, so it is ourselves
	}
	shop, err := openWorkshop()
	if err != nil {
		return nil, err
	}
	return shop.newHome(ctx, account{}, func(string) error { return nil })
}

// URL returns the address for clients. It stays the same over Down and Up.
func (s *NATSServer) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("nats://%s:%d", loopback, s.port)
}

// Up starts the server again after Down, on the same port and folder. It does nothing when the
// server is up.
func (s *NATSServer) Up(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return nil
	}
	options, err := s.serverOptions()
	if err != nil {
		return err
	}
	running, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("configure NATS: %w", err)
	}
	log := newServerLog(s.options.Logger)
	running.SetLogger(log, false, false)
	running.Start()
	if err := awaitNATS(ctx, running, log); err != nil {
		running.Shutdown()
		running.WaitForShutdown()
		return fmt.Errorf("start NATS: %w", err)
	}
	if s.port == 0 {
		s.port = options.Port // the server wrote the port that it got
	}
	s.running = running
	return nil
}

// Down ends the server and keeps its folder: clients see an outage until Up. It does nothing when
// the server is down.
func (s *NATSServer) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// Stop ends the server for good and, unless its folder was given, removes what it stored. Further
// calls return the same result.
func (s *NATSServer) Stop() error { return s.stop() }

func (s *NATSServer) end() error {
	s.Down()
	return s.home.release()
}

func (s *NATSServer) serverOptions() (*server.Options, error) {
	options := &server.Options{}
	if s.options.ConfigFile != "" {
		var err error
		if options, err = server.ProcessConfigFile(s.options.ConfigFile); err != nil {
			return nil, fmt.Errorf("read NATS configuration %s: %w", s.options.ConfigFile, err)
		}
		options.HTTPHost, options.HTTPPort, options.HTTPSPort, options.ProfPort = "", 0, 0, 0
		options.LogFile, options.PidFile, options.PortsFileDir = "", "", ""
		options.ClientAdvertise = ""
	}
	options.JetStream = true
	options.StoreDir = s.home.dir
	options.Host = loopback
	options.Port = s.port
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	options.NoSigs = true // signals are the program's own
	options.SyncAlways = options.SyncAlways || s.options.SyncAlways
	if s.options.MaxStore > 0 {
		options.JetStreamMaxStore = s.options.MaxStore
	}
	return options, nil
}

// awaitNATS returns when the server answers, when the server reports a fatal error, or when ctx is
// done.
func awaitNATS(ctx context.Context, running *server.Server, log *serverLog) error {
	for {
		if running.ReadyForConnections(readyPoll) {
			return nil
		}
		select {
		case reason := <-log.fatal:
			return errors.New(reason)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}

// serverLog receives the log of the NATS server. It also receives a fatal error: with its own log
// the server would end the process.
type serverLog struct {
	to    *zap.SugaredLogger
	fatal chan string // holds the first fatal line
}

func newServerLog(to *zap.Logger) *serverLog {
	if to == nil {
		to = zap.NewNop()
	}
	return &serverLog{to: to.Named("nats").Sugar(), fatal: make(chan string, 1)}
}

func (l *serverLog) Noticef(format string, v ...any) { l.to.Infof(format, v...) }
func (l *serverLog) Warnf(format string, v ...any)   { l.to.Warnf(format, v...) }
func (l *serverLog) Errorf(format string, v ...any)  { l.to.Errorf(format, v...) }
func (l *serverLog) Debugf(format string, v ...any)  { l.to.Debugf(format, v...) }
func (l *serverLog) Tracef(format string, v ...any)  { l.to.Debugf(format, v...) }

func (l *serverLog) Fatalf(format string, v ...any) {
	reason := fmt.Sprintf(format, v...)
	l.to.Error(reason)
	select {
	case l.fatal <- reason:
	default:
	}
}
