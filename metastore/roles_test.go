package metastore

import "testing"

func TestRoles_ParseWhatStringSays(t *testing.T) {
	for r := Roles(1); r <= RolesAll; r++ {
		if got, err := ParseRoles(r.String()); err != nil || got != r {
			t.Errorf("%q reads as %v, %v", r.String(), got, err)
		}
	}
	if got, err := ParseRoles(" fetch, ingest"); err != nil || got != RoleIngest|RoleFetch {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "ingest,", "Ingest", "ingest fetch", "all"} {
		if _, err := ParseRoles(bad); err == nil {
			t.Errorf("%q is taken for roles", bad)
		}
	}
}
