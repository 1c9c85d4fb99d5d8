package sys

import (
	"cmp"
	"strings"
)

// compareEVR orders versions of rpm, epoch:version-release, as rpm does. What one
// of them leaves out is not compared.
func compareEVR(a, b string) int {
	epochA, restA, hasA := cutEpoch(a)
	epochB, restB, hasB := cutEpoch(b)
	if hasA || hasB {
		if c := compareVersion(epochA, epochB); c != 0 {
			return c
		}
	}
	versionA, releaseA, fullA := strings.Cut(restA, "-")
	versionB, releaseB, fullB := strings.Cut(restB, "-")
	if c := compareVersion(versionA, versionB); c != 0 || !fullA || !fullB {
		return c
	}
	return compareVersion(releaseA, releaseB)
}

func cutEpoch(evr string) (epoch, rest string, has bool) {
	if epoch, rest, ok := strings.Cut(evr, ":"); ok {
		return epoch, rest, true
	}
	return "0", evr, false
}

// compareVersion is rpmvercmp: runs of digits and of letters are compared one by
// one; digits are newer than letters, ~ is older than nothing, ^ newer than
// nothing but older than anything more.
func compareVersion(a, b string) int {
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if order, done := compareMarks(&a, &b); done {
			if order != 0 {
				return order
			}
			continue
		}
		if a == "" || b == "" {
			break
		}
		inRun := isLetter
		if isDigit(rune(a[0])) {
			inRun = isDigit
		}
		runA, runB := leading(a, inRun), leading(b, inRun)
		if runB == "" { // the runs differ in kind
			if isDigit(rune(a[0])) {
				return 1
			}
			return -1
		}
		if c := compareRuns(runA, runB, isDigit(rune(a[0]))); c != 0 {
			return c
		}
		a, b = a[len(runA):], b[len(runB):]
	}
	switch {
	case a != "":
		return 1
	case b != "":
		return -1
	}
	return 0
}

// compareMarks deals with ~ and ^ at the head of either; done says that it did.
func compareMarks(a, b *string) (order int, done bool) {
	headA, headB := head(*a), head(*b)
	switch {
	case headA == '~' || headB == '~':
		order = compareMark(headA == '~', headB == '~')
	case headA == '^' || headB == '^':
		switch {
		case headA == 0:
			return -1, true
		case headB == 0:
			return 1, true
		}
		order = compareMark(headA == '^', headB == '^')
	default:
		return 0, false
	}
	if order == 0 {
		*a, *b = (*a)[1:], (*b)[1:]
	}
	return order, true
}

// compareMark puts the one that has the mark first.
func compareMark(hasA, hasB bool) int {
	switch {
	case !hasA:
		return 1
	case !hasB:
		return -1
	}
	return 0
}

// head is the first byte, or 0.
func head(text string) byte {
	if text == "" {
		return 0
	}
	return text[0]
}

func isDigit(c rune) bool { return c >= '0' && c <= '9' }

func isLetter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func separates(c rune) bool { return !isDigit(c) && !isLetter(c) && c != '~' && c != '^' }

// leading is the longest run of such characters that text begins with.
func leading(text string, of func(rune) bool) string {
	return text[:len(text)-len(strings.TrimLeftFunc(text, of))]
}

func compareRuns(a, b string, digits bool) int {
	if digits {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if len(a) != len(b) {
			return cmp.Compare(len(a), len(b))
		}
	}
	return strings.Compare(a, b)
}
