package master

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"scout/internal/files"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// errStranger: a message in the log is no entry.
var errStranger = errors.New("the message is not an entry")

// encode returns the entry as a message of the log.
func encode(e *Entry) ([]byte, error) {
	m := &scoutv1.LogEntry{
		Epoch: e.Epoch, Instance: uint64(e.Session.Instance), Session: e.Session.Number, Serial: e.Serial,
	}
	switch b := e.Body.(type) {
	case *Begin:
		m.Body = &scoutv1.LogEntry_Begin{Begin: &scoutv1.LogBegin{Before: b.Before, Reason: b.Reason}}
	case *Tick:
		m.Body = &scoutv1.LogEntry_Tick{Tick: encodeTick(b)}
	case *Suspect:
		m.Body = &scoutv1.LogEntry_Suspect{Suspect: &scoutv1.LogSuspect{Instance: uint64(b.Of)}}
	case *Lost:
		m.Body = &scoutv1.LogEntry_Lost{Lost: &scoutv1.LogLost{Instance: uint64(b.Of), Suspect: b.Suspect}}
	case *Buried:
		m.Body = &scoutv1.LogEntry_Buried{Buried: &scoutv1.LogBuried{Instance: uint64(b.Of)}}
	case *Leaving:
		m.Body = &scoutv1.LogEntry_Leaving{Leaving: new(scoutv1.LogLeaving)}
	case *Joined:
		m.Body = &scoutv1.LogEntry_Joined{Joined: encodeJoined(b)}
	case *Update:
		m.Body = &scoutv1.LogEntry_Update{Update: encodeUpdate(b)}
	case *Hidden:
		m.Body = &scoutv1.LogEntry_Hidden{Hidden: &scoutv1.LogHidden{Reason: b.Reason, Scanned: b.Scanned}}
	case *Status:
		m.Body = &scoutv1.LogEntry_Status{Status: encodeStatus(b.Condition)}
	case *Left:
		m.Body = &scoutv1.LogEntry_Left{Left: &scoutv1.LogLeft{Reason: b.Reason}}
	default:
		return nil, fmt.Errorf("encode an entry: a body of type %T", e.Body)
	}
	message, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 8, 128), m)
	if err != nil {
		return nil, fmt.Errorf("encode an entry: %w", err)
	}
	binary.LittleEndian.PutUint64(message, xxhash.Sum64(message[8:]))
	return message, nil
}

// decode returns the entry in a message of the log, which it does not keep. The
// error is errStranger.
func decode(message []byte) (*Entry, error) {
	if len(message) < 8 || binary.LittleEndian.Uint64(message) != xxhash.Sum64(message[8:]) {
		return nil, errStranger
	}
	var m scoutv1.LogEntry
	if err := proto.Unmarshal(message[8:], &m); err != nil {
		return nil, errStranger
	}
	return &Entry{
		Epoch: m.GetEpoch(), Session: SessionID{Instance(m.GetInstance()), m.GetSession()}, Serial: m.GetSerial(),
		Body: decodeBody(&m),
	}, nil
}

// decodeBody returns nil for a kind that is not known.
func decodeBody(m *scoutv1.LogEntry) Body {
	switch b := m.GetBody().(type) {
	case *scoutv1.LogEntry_Begin:
		return &Begin{Before: b.Begin.GetBefore(), Reason: b.Begin.GetReason()}
	case *scoutv1.LogEntry_Tick:
		t := decodeTick(b.Tick)
		return &t
	case *scoutv1.LogEntry_Suspect:
		return &Suspect{Of: Instance(b.Suspect.GetInstance())}
	case *scoutv1.LogEntry_Lost:
		return &Lost{Of: Instance(b.Lost.GetInstance()), Suspect: b.Lost.GetSuspect()}
	case *scoutv1.LogEntry_Buried:
		return &Buried{Of: Instance(b.Buried.GetInstance())}
	case *scoutv1.LogEntry_Leaving:
		return new(Leaving)
	case *scoutv1.LogEntry_Joined:
		j := decodeJoined(b.Joined)
		return &j
	case *scoutv1.LogEntry_Update:
		return decodeUpdate(b.Update)
	case *scoutv1.LogEntry_Hidden:
		return &Hidden{Reason: b.Hidden.GetReason(), Scanned: b.Hidden.GetScanned()}
	case *scoutv1.LogEntry_Status:
		return &Status{decodeStatus(b.Status)}
	case *scoutv1.LogEntry_Left:
		return &Left{Reason: b.Left.GetReason()}
	}
	return nil
}

func encodeTick(t *Tick) *scoutv1.LogTick {
	return &scoutv1.LogTick{
		Name: t.Name, Url: t.URL, Version: t.Version, Address: t.Address,
		Position: t.Position, Digest: t.Digest, Revision: t.Revision, Reads: t.Reads,
		Deadline: durationpb.New(t.Deadline),
	}
}

func decodeTick(t *scoutv1.LogTick) Tick {
	return Tick{
		Name: t.GetName(), URL: t.GetUrl(), Version: t.GetVersion(), Address: t.GetAddress(),
		Position: t.GetPosition(), Digest: t.GetDigest(), Revision: t.GetRevision(), Reads: t.GetReads(),
		Deadline: t.GetDeadline().AsDuration(),
	}
}

func encodeJoined(j *Joined) *scoutv1.LogJoined {
	m := &scoutv1.LogJoined{
		Host: j.Origin.Host, Directory: []byte(j.Origin.Directory),
		ReplacesInstance: uint64(j.Replaces.Instance), ReplacesSession: j.Replaces.Number, Before: j.Before,
		Session: j.Session, Version: j.Version, Address: j.Address, Registered: timestamppb.New(j.Registered),
	}
	for _, s := range j.Has {
		m.Has = append(m.Has, encodeShown(s))
	}
	return m
}

func decodeJoined(m *scoutv1.LogJoined) Joined {
	j := Joined{
		Origin:   files.Origin{Host: m.GetHost(), Directory: string(m.GetDirectory())},
		Replaces: SessionID{Instance(m.GetReplacesInstance()), m.GetReplacesSession()}, Before: m.GetBefore(),
		Session: m.GetSession(), Version: m.GetVersion(), Address: m.GetAddress(), Registered: m.GetRegistered().AsTime(),
	}
	for _, s := range m.GetHas() {
		j.Has = append(j.Has, decodeShown(s))
	}
	return j
}

func encodeShown(s Shown) *scoutv1.LogShown {
	return &scoutv1.LogShown{Count: s.Count, Digest: s.Digest}
}

func decodeShown(s *scoutv1.LogShown) Shown { return Shown{s.GetCount(), s.GetDigest()} }

// encodeUpdate encodes a part, see split.
func encodeUpdate(u *Update) *scoutv1.LogUpdate {
	m := &scoutv1.LogUpdate{Reset_: u.Reset, More: u.More, Removed: u.Parts.Removed, Added: u.Parts.Added}
	if !u.More {
		m.Revision, m.Shown = u.Revision, encodeShown(u.Shown)
	}
	return m
}

func decodeUpdate(m *scoutv1.LogUpdate) *Update {
	return &Update{
		Reset: m.GetReset_(), More: m.GetMore(), Parts: Parts{m.GetRemoved(), m.GetAdded()},
		Revision: m.GetRevision(), Shown: decodeShown(m.GetShown()),
	}
}

func encodeStatus(c stream.Condition) *scoutv1.LogStatus {
	return &scoutv1.LogStatus{
		Unreadable: c.Unreadable, Polled: c.Polled, Incomplete: c.Incomplete, PollRound: durationpb.New(c.PollRound),
	}
}

func decodeStatus(m *scoutv1.LogStatus) stream.Condition {
	return stream.Condition{
		Unreadable: m.GetUnreadable(), Polled: m.GetPolled(), Incomplete: m.GetIncomplete(), PollRound: m.GetPollRound().AsDuration(),
	}
}

// split yields an Update as parts of about so many bytes of names.
func split(u *Update, limit int) iter.Seq[*Update] {
	return func(yield func(*Update) bool) {
		part, size := &Update{Reset: u.Reset}, 0
		add := func(names []byte, of func(*Parts) *[]byte) bool {
			if *of(&part.Parts) != nil || size > 0 && size+len(names) > limit {
				part.More = true
				if !yield(part) {
					return false
				}
				part, size = &Update{Reset: u.Reset}, 0
			}
			*of(&part.Parts) = slices.Clone(names)
			size += len(names)
			return true
		}
		if u.Delta.Removed != nil {
			for names := range u.Delta.Removed.Parts(limit) {
				if !add(names, func(p *Parts) *[]byte { return &p.Removed }) {
					return
				}
			}
		}
		for names := range u.Delta.Added.Parts(limit) {
			if !add(names, func(p *Parts) *[]byte { return &p.Added }) {
				return
			}
		}
		part.Revision, part.Shown = u.Revision, u.Shown
		yield(part)
	}
}
