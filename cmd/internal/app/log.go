package app

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/seed-384b1f8a/tender/config"
)

// NewLog returns the log of a process: lines of JSON, or of text for people. Times are in UTC.
func NewLog(w io.Writer, cfg config.Log) *zap.Logger {
	shape := zap.NewProductionEncoderConfig()
	shape.TimeKey, shape.MessageKey = "time", "msg"
	shape.EncodeTime = utcTime("2006-01-02T15:04:05.000Z")
	encoder := zapcore.NewJSONEncoder(shape)
	if cfg.Format == config.LogConsole {
		shape.EncodeTime = utcTime("15:04:05.000")
		shape.EncodeLevel = zapcore.CapitalLevelEncoder
		shape.EncodeDuration = zapcore.StringDurationEncoder
		shape.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(shape)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), logLevel(cfg.Level)))
}

func logLevel(level config.LogLevel) zapcore.Level {
	switch level {
	case config.LogDebug:
		return zapcore.DebugLevel
	case config.LogWarn:
		return zapcore.WarnLevel
	case config.LogError:
		return zapcore.ErrorLevel
	case config.LogInfo:
		return zapcore.InfoLevel
	default:
		panic("log level " + string(level) + " was not validated")
	}
}

func utcTime(layout string) zapcore.TimeEncoder {
	return func(t time.Time, enc zapcore.PrimitiveArrayEncoder) { enc.AppendString(t.UTC().Format(layout)) }
}
