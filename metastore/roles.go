package metastore

import (
	"fmt"
	"strings"
)

// Roles is a set of what an agent is there for. It says where work is sent, not
// what is refused: any agent takes any request.
type Roles uint8

// The roles. Persisted; never renumber.
const (
	RoleIngest     Roles = 1 << 0 // producers are sent to it
	RoleFetch      Roles = 1 << 1 // readers are sent to it
	RoleCompaction Roles = 1 << 2 // it compacts, and collects garbage

	RolesAll = RoleIngest | RoleFetch | RoleCompaction
)

// roleNames are the roles' names, by bit.
func roleNames() [3]string { return [3]string{"ingest", "fetch", "compaction"} }

// Has tells whether all the roles asked for are in the set.
func (r Roles) Has(asked Roles) bool { return r&asked == asked }

// Serves tells whether clients are sent to such an agent at all.
func (r Roles) Serves() bool { return r&(RoleIngest|RoleFetch) != 0 }

// String lists the roles as ParseRoles reads them.
func (r Roles) String() string {
	var names []string
	for i, name := range roleNames() {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseRoles reads a list of roles with commas between them, at least one.
func ParseRoles(list string) (Roles, error) {
	var roles Roles
next:
	for _, name := range strings.Split(list, ",") {
		for i, known := range roleNames() {
			if strings.TrimSpace(name) == known {
				roles |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%q is no role: there are ingest, fetch and compaction", name)
	}
	return roles, nil
}
