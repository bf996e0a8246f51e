package pgarray

import "github.com/jackc/pgx/v5/pgtype"

// codec writes the arrays of this package itself and leaves everything else to pgx.
type codec struct {
	*pgtype.ArrayCodec
	elementOID uint32
}

// Register makes a connection encode the arrays of this package in one go. It may be called for
// every use of a connection: it does nothing if it was called before.
func Register(types *pgtype.Map) {
	if t, ok := types.TypeForOID(pgtype.UUIDArrayOID); ok {
		if _, done := t.Codec.(codec); done {
			return
		}
	}
	for _, oid := range [...]uint32{
		pgtype.UUIDArrayOID, pgtype.Int8ArrayOID, pgtype.Int2ArrayOID, pgtype.TextArrayOID, pgtype.ByteaArrayOID,
		pgtype.JSONArrayOID, pgtype.TimestamptzArrayOID,
	} {
		t, ok := types.TypeForOID(oid)
		if !ok {
			continue
		}
		// A codec of the program's own stays: then pgx encodes the arrays as any other.
		if arrays, ok := t.Codec.(*pgtype.ArrayCodec); ok {
			types.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: codec{arrays, arrays.ElementType.OID}})
		}
	}
}

// binaryAppender is every array of this package.
type binaryAppender interface {
	appendBinary(b []byte, elementOID uint32) []byte
}

// PlanEncode implements pgtype.Codec.
func (c codec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(binaryAppender); ok && format == pgtype.BinaryFormatCode {
		return plan{c.elementOID}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type plan struct{ elementOID uint32 }

// Encode implements pgtype.EncodePlan.
func (p plan) Encode(value any, b []byte) ([]byte, error) {
	return value.(binaryAppender).appendBinary(b, p.elementOID), nil //nolint:forcetypeassert // PlanEncode looked
}
