package audit

import (
	"math/bits"

	"github.com/google/uuid"
)

// denseVersions is the number of versions of a payment that are kept as bits; hardly any payment
// has more.
const denseVersions = 64

// sightings are the events that were seen on the bus: for each payment a set of versions in 64
// bits. A payment takes 30 to 60 bytes, as the map grows in steps.
type sightings struct {
	dense map[uuid.UUID]uint64
	// sparse holds the versions beyond those, and latest the highest of each payment that has any.
	sparse map[eventKey]struct{}
	latest map[uuid.UUID]int64
}

type eventKey struct {
	paymentID uuid.UUID
	version   int64
}

func newSightings() *sightings {
	return &sightings{dense: map[uuid.UUID]uint64{}, sparse: map[eventKey]struct{}{}, latest: map[uuid.UUID]int64{}}
}

// see notes an event, and says whether it is new and whether a later one was there already.
func (s *sightings) see(paymentID uuid.UUID, version int64) (first bool, after int64) {
	if s.has(paymentID, version) {
		return false, 0
	}
	if latest := s.last(paymentID); latest > version {
		after = latest
	}
	s.add(paymentID, version)
	return true, after
}

func (s *sightings) add(paymentID uuid.UUID, version int64) {
	if isDense(version) {
		s.dense[paymentID] |= 1 << (version - 1)
		return
	}
	s.sparse[eventKey{paymentID, version}] = struct{}{}
	s.latest[paymentID] = max(s.latest[paymentID], version)
}

func (s *sightings) has(paymentID uuid.UUID, version int64) bool {
	if isDense(version) {
		return s.dense[paymentID]&(1<<(version-1)) != 0
	}
	_, seen := s.sparse[eventKey{paymentID, version}]
	return seen
}

func (s *sightings) last(paymentID uuid.UUID) int64 {
	return max(s.latest[paymentID], int64(bits.Len64(s.dense[paymentID])))
}

func isDense(version int64) bool { return version >= 1 && version <= denseVersions }
