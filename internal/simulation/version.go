package simulation

// Version is a RabbitMQ version on one of its metadata stores.
type Version struct {
	Number  string
	OTP     string
	Khepri  bool
	Records string // the directory of testdata that holds what it printed
}

// The versions that were measured. 4.0 can be switched to Khepri; that was measured only a little.
var (
	V38        = Version{Number: "3.8.9", OTP: "23", Records: "3.8.9"}
	V310       = Version{Number: "3.10.8", OTP: "25", Records: "3.10.8"}
	V40        = Version{Number: "4.0.5", OTP: "27", Records: "4.0.5"}
	V40Khepri  = Version{Number: "4.0.5", OTP: "27", Khepri: true, Records: "4.3.6"}
	V43        = Version{Number: "4.3.6", OTP: "29", Khepri: true, Records: "4.3.6"}
	V          = []Version{V38, V310, V40, V40Khepri, V43}
	threeDigit = map[string]bool{"3.8.9": true, "3.10.8": true}
)

// String names the version and, where it is a choice, the store.
func (v Version) String() string {
	if v.Khepri && v.Number == V40.Number {
		return v.Number + "-khepri"
	}
	return v.Number
}

// old are the versions before 4: their commands want a stopped application where newer ones stop it themselves.
func (v Version) old() bool { return threeDigit[v.Number] }

// quick tells whether its Debian has an erl_call that can fetch what was printed.
func (v Version) quick() bool { return v.OTP != "23" }

// has tells whether the version has node types at all.
func (v Version) typed() bool { return v.Number != V43.Number }
